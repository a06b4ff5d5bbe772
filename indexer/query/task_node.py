"""What a Koii task node of the user's own tells: its version (koii.md A1, `POST /namespace-wrapper`)."""

import msgspec

from indexer.config import Chain
from indexer.errors import ConfigError, RpcRefused
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.web import Question, ask

_REMEDY = 'Add [chains.task_node] with url = "http://…:30017" and secrets = {{ {task} = "…" }} to its [[chains]] entry.'


class _Answer(msgspec.Struct):
    response: str | None = None


async def task_node_version(chain: Chain, task_id: str) -> str:
    """`getTaskNodeVersion` of the configured task node, such as 1.11.19.

    Only a task may ask, by the secret that the node has given to it. Raises ConfigError where node or secret are not
    configured, SignatureRefused for a wrong secret, RpcRefused where the node does not tell, and what services do.
    """
    node = chain.task_node
    if node is None:
        raise ConfigError(f"Chain {chain.name} has no task node. {_REMEDY.format(task=task_id)}")
    if task_id not in node.secrets:
        raise ConfigError(f"The secret of task {task_id} is not configured. {_REMEDY.format(task=task_id)}")
    secret = node.secrets[task_id].get_secret_value()
    body = msgspec.json.encode({"args": ["getTaskNodeVersion"], "taskId": task_id, "secret": secret})
    endpoint = Endpoint(node.url.get_secret_value(), hidden=(secret,))
    question = Question("/namespace-wrapper", "getTaskNodeVersion", body=body, proof=f"the secret of task {task_id}")
    version = (await ask(endpoint, question, _Answer)).response
    if version is None:
        raise RpcRefused("it tells no version", provider=endpoint.name, method="getTaskNodeVersion", code=200)
    return version
