"""The numbers the core goes by."""

from typing import NamedTuple

from broker.balance import Policy
from broker.fleet import Group
from broker.guess import DEFAULT_RULES, Rule
from broker.limits import Limits
from broker.order import Fairness
from broker.retry import RetryPolicy


class Rules(NamedTuple):
    """See ``BrokerSettings`` for what they mean."""

    lease_ttl_s: float = 15.0
    heartbeat_s: float = 5.0
    reattach_s: float = 2.0
    retry: RetryPolicy = RetryPolicy()
    fairness: Fairness = Fairness()
    limits: Limits = Limits()
    max_losses: int = 2
    max_waiting: int = 100_000
    max_waiting_per_user: int = 0  # 0: no limit of its own
    max_waiting_bytes: int = 0  # 0: no limit
    priority_rules: tuple[Rule, ...] = DEFAULT_RULES
    max_answer_bytes: int = 32_000_000
    balance: Policy = 'least_loaded'
    groups: tuple[Group, ...] = ()
    batch_patience_s: float = 86_400.0
    stop_at_once: int = 200  # jobs of a batch that one turn cancels; meanwhile nobody else is served
    due_at_once: int = 500  # delays, deadlines and leases that one turn looks at
