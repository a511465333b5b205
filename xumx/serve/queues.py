"""How songs come to those who separate them."""

from __future__ import annotations

from xumx.serve.store import Job


class Queue:
    """The embedded queue: workers of this machine look into the database by themselves."""

    def send(self, job: Job) -> None:
        """Offer a job, which is in the database."""

    def cancel(self, job: Job) -> None:
        """Say that nobody wants a job any more, which is not in the database any more."""
