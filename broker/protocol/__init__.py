"""The wire: every message between clients, broker and workers, and the codec. No sockets here.

A file for each kind of them; from outside each is ``protocol.Submit`` or the like, whichever file has it.
Requests carry ``rid``, a number that the reply repeats.
"""

from broker.protocol.batches import *
from broker.protocol.broadcasts import *
from broker.protocol.codec import *
from broker.protocol.control import *
from broker.protocol.envelope import *
from broker.protocol.following import *
from broker.protocol.jobs import *
from broker.protocol.lookups import *
from broker.protocol.schedules import *
from broker.protocol.staff import *
from broker.protocol.work import *
