"""One exchange: a Need in, a Token out. `cache` calls `mint`, which knows who issues what."""

from typing import assert_never

from gateway_runtime.contract.table import AzureOptions, BedrockOptions, VertexOptions
from gateway_runtime.tokens.aws import mint_aws_keys
from gateway_runtime.tokens.entra import mint_entra_token
from gateway_runtime.tokens.google import mint_google_token
from gateway_runtime.tokens.issuers import refuse_answer
from gateway_runtime.tokens.means import Means
from gateway_runtime.tokens.token import Need, Token


async def mint(need: Need, means: Means) -> Token:
    """One with some life in it. Raises TokenRefused, UpstreamFailure."""
    token = await _exchange(need, means)
    if token.life_s <= 0:
        raise refuse_answer("the token has ended already; is this node's clock right?")
    return token


async def _exchange(need: Need, means: Means) -> Token:
    match need.options:
        case VertexOptions() as vertex:
            return await mint_google_token(vertex, need.secret, means)
        case AzureOptions() as azure:
            return await mint_entra_token(azure, need.secret, means)
        case BedrockOptions() as bedrock:
            return await mint_aws_keys(bedrock, means)
        case never:
            assert_never(never)
