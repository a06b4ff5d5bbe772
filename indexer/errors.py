"""Every error that Taskscan raises on purpose. The docstring of a class is its message.

TaskscanError
├── Transient              try again, maybe elsewhere
│   ├── Unreachable        no connection, or it broke
│   ├── TimedOut           no answer in time
│   ├── RateLimited        429 and its cousins; carries ``retry_after`` in seconds
│   ├── ServerFault        5xx, or "internal error" inside JSON-RPC
│   ├── MalformedAnswer    not JSON, cut off, or of another shape
│   ├── NotThereYet        the provider has not got that block (yet)
│   ├── DatabaseDown       PostgreSQL does not answer
│   └── GivenUp            PostgreSQL undid a transaction so that another one could go on
├── TooLarge               ask for less; carries the provider's own ``hint``
├── Inconsistent           an answer that contradicts itself or another answer
│   ├── Contradiction      … itself, so that it is false: the provider is not trusted any more
│   ├── OtherBranch        … a block that is known to be on the chain
│   └── ClockSkew          a server whose clock is wrong, or ours
├── StateUnreadable        an account whose bytes do not fit the layout of its program
├── LeaseLost              another process writes this chain now
├── FenceLost              a later execution of a job has its range of blocks now
├── TaskRefused            the job queue says no; carries ``kind`` and an HTTP ``status``
└── Terminal               repeating will not help
    ├── RpcRefused         the provider understood and said no
    │   ├── LoginRefused   … to who we are: 401
    │   └── AccessDenied   … to what we may see: 403
    ├── NotKnownThere      a service outside the chain has nothing of it
    ├── SignatureRefused   a service does not take the signature or secret
    ├── TooLargeToKeep     a file is larger than it may be
    ├── NotSaved           a file cannot be written
    ├── WrongChain         provider, database and configuration disagree about the chain
    ├── NoReceipts         receipts are the evidence that was asked for, and nobody gives them
    ├── FinalityBroken     the chain, or a provider, went back on a final block
    ├── DatabaseRefused    no right, read-only, another schema, a full disk
    ├── SetupFailed        a tool that Taskscan needs cannot be installed or started
    └── UsageError         exit code 2: something the user wrote
        ├── NotFound       … names what is not in the database
        ├── Ambiguous      … names several things; carries them as ``candidates``
        ├── NotCovered     … asks for what is not read, or not yet
        └── ConfigError    … in a configuration file or the environment

Each class says in ``http_status`` how an HTTP server answers it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from string import Formatter


class TaskscanError(Exception):
    """{message}"""

    exit_code = 1
    http_status = 500
    outlasted = False  # by tries enough: `rpc.retry`

    def __init__(self, message: str = "", **facts: object) -> None:
        self.facts = {"message": message, **facts}
        super().__init__(self._text())

    def _text(self) -> str:
        template = " ".join((type(self).__doc__ or "{message}").split())
        known = {name: "" for _, name, _, _ in Formatter().parse(template) if name}
        return template.format(**{**known, **self.facts}).strip()


class Transient(TaskscanError):
    """{message}"""

    http_status = 503


class Unreachable(Transient):
    """{provider} cannot be reached: {message}. Check the URL, the network and HTTPS_PROXY."""


class TimedOut(Transient):
    """{provider} did not answer within {seconds:g} s."""


class RateLimited(Transient):
    """{provider} limits the rate of requests: {message}"""

    def __init__(self, message: str = "", *, retry_after: float | None = None, **facts: object) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class ServerFault(Transient):
    """{provider} failed: {message}"""


class MalformedAnswer(Transient):
    """{provider} sent an answer that cannot be read: {message}"""


class NotThereYet(Transient):
    """{provider} has no block {block}."""


class DatabaseDown(Transient):
    """The database at {database} does not answer: {message}. Start it, or correct TASKSCAN_DATABASE_URL."""


class GivenUp(Transient):
    """The database at {database} gave up a transaction: {message}. Trying again helps."""


class TooLarge(TaskscanError):
    """{provider} refuses a range that large: {message}"""

    def __init__(
        self,
        message: str = "",
        *,
        max_blocks: int | None = None,
        max_results: int | None = None,
        upto: int | None = None,
        batch: bool = False,
        **facts: object,
    ) -> None:
        """``max_blocks``: largest range in blocks that the provider named; ``max_results``: in logs;
        ``upto``: last block that it says would fit; ``batch``: the JSON-RPC batch was too long, not the range."""
        super().__init__(message, **facts)
        self.max_blocks = max_blocks
        self.max_results = max_results
        self.upto = upto
        self.batch = batch


class Inconsistent(TaskscanError):
    """{provider} contradicts itself: {message}"""


class Contradiction(Inconsistent):
    """{provider} contradicts itself: {message}"""


class OtherBranch(Inconsistent):
    """{provider} contradicts what is known: {message}"""


class ClockSkew(Inconsistent):
    """The clock of {provider} is {seconds:+,.0f} s off this machine's. Set the wrong one (NTP). Reading goes on:
    it follows the numbers and times of {provider} alone.
    """


class StateUnreadable(TaskscanError):
    """An account of Koii cannot be read: {message}. Its bytes are kept in koii.unreadable_states."""


class LeaseLost(TaskscanError):
    """Another Taskscan process ({holder}) writes chain {chain_id} now. Nothing was written here; this process waits
    until that one ends.
    """


class FenceLost(TaskscanError):
    """A later execution has taken the blocks {blocks} of chain {chain_id}; nothing was written by this one."""


class TaskRefused(TaskscanError):
    """{message}"""

    def __init__(self, message: str, *, kind: str, status: int = 422, retry_after: float | None = None) -> None:
        """``kind``: the type of the error as the Task Executor API sends it; ``status``: the HTTP status that goes
        with it; ``retry_after``: seconds after which it is worth asking again, if it is."""
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after


class Terminal(TaskscanError):
    """{message}"""


class RpcRefused(Terminal):
    """{provider} refuses {method}: {message} (code {code})"""


class NotKnownThere(Terminal):
    """{provider} has nothing of {what} (HTTP 404)."""


class SignatureRefused(Terminal):
    """{provider} does not accept {what}: {message}"""


class TooLargeToKeep(Terminal):
    """{provider} offers {size} for {what}; at most {most} are taken. Allow more, or fetch it by other means."""


class NotSaved(Terminal):
    """{path} cannot be written: {message}. Free space there, or name another folder."""


class LoginRefused(RpcRefused):
    """{provider} does not let this client in: {message}. Correct client_id and client_secret, and see that grant_types
    of the Client hold basic or client_credentials.
    """


class AccessDenied(RpcRefused):
    """{provider} denies {method} to this client: {message}. Allow it by an AccessPolicy."""


class WrongChain(Terminal):
    """{message}"""


class NoReceipts(Terminal):
    """No provider of chain {chain} gives receipts ({provider}: {message}), so nothing can be proven by them. Add a
    provider that answers eth_getBlockReceipts or eth_getTransactionReceipt, or set `evidence = "bloom"`.
    """


class FinalityBroken(Terminal):
    """Chain {chain} would have to go back to block {ancestor}, but its blocks up to {final} were final. Nothing was
    changed. Compare block {final} with a second provider: remove the provider that is wrong; if the chain itself has
    gone back, index it anew into another database.
    """


class DatabaseRefused(Terminal):
    """{message}"""


class SetupFailed(Terminal):
    """{message}"""


class UsageError(Terminal):
    """{message}"""

    exit_code = 2
    http_status = 400


class NotFound(UsageError):
    """{message}"""

    http_status = 404


class Ambiguous(UsageError):
    """{message}"""

    http_status = 409

    def __init__(self, message: str, candidates: Sequence[str], **facts: object) -> None:
        """``candidates``: ids that fit, the first few."""
        super().__init__(message, **facts)
        self.candidates = list(candidates)


class NotCovered(UsageError):
    """{message}"""

    http_status = 422


class ConfigError(UsageError):
    """{message}"""

    http_status = 500


@contextlib.contextmanager
def ungrouped() -> Iterator[None]:
    """Raise the first error of tasks that ran together, where all of them are ours, instead of their group.

    Before Python 3.11.4 what an `except*` block raises is put into a group again.
    """
    try:
        yield
    except ExceptionGroup as group:
        ours, others = group.split(TaskscanError)
        if ours is None or others is not None:
            raise
        raise ours.exceptions[0] from None
