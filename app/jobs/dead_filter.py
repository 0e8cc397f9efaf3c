"""Which of the jobs that failed for good are meant. Pure."""

from urllib.parse import parse_qs, urlsplit

import msgspec

from broker.job import Job


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Empty fields let everything through."""

    code: str = ''
    model: str = ''
    user: str = ''
    text: str = ''  # in its id, error, title, model, user or schedule

    @classmethod
    def of(cls, address: str) -> 'DeadFilter':
        """The filter in an address like ``/queue/failed?code=engine_error``."""
        found = parse_qs(urlsplit(address).query)
        return cls(**{name: found[name][0][:300] for name in cls.__struct_fields__ if name in found})

    def match(self, job: Job, title: str) -> bool:
        """Whether this one is meant."""
        text = self.text.lower()
        said = (job.job_id, job.code, job.detail, job.model, job.user, job.terms.schedule, title)
        return (
            self.code in ('', job.code)
            and self.model in ('', job.model)
            and self.user in ('', job.user)
            and (not text or any(text in each.lower() for each in said))
        )
