"""The same scenarios through the official SDK: either the whole answer, or one of its own errors.

`test_chaos` asks a sample. A stream that ends early and quietly, or an exception that is not the SDK's, is a
complaint: an application could not tell what happened.
"""

import asyncio
from collections.abc import Sequence

from openai import APIError, AsyncOpenAI

from tests.chaos.scenario import Fault, Scenario
from tests.server.rig import KEY

_LIMIT_S = 10.0


async def ask_by_sdk(scenarios: Sequence[Scenario], port: int) -> dict[int, str]:
    """Complaints by seed."""
    found: dict[int, str] = {}
    places = asyncio.Semaphore(8)

    async def visit(client: AsyncOpenAI, scenario: Scenario) -> None:
        async with places, asyncio.timeout(_LIMIT_S):
            try:
                text = await ask(client, scenario)
            except APIError as error:
                if not error.message:
                    found[scenario.seed] = f"an error without words: {error!r}"
                return
        mark = text[: len(f"{scenario.seed}-a-")]
        endless = scenario.fault is Fault.ENDLESS_BODY and mark.startswith(str(scenario.seed))
        if not endless and text not in (scenario.text("a"), scenario.text("b")):
            found[scenario.seed] = f"not the text: {text[:80]}, {len(text)} characters, {scenario}"

    async with (
        AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0) as client,
        asyncio.TaskGroup() as group,
    ):
        for scenario in scenarios:
            group.create_task(visit(client, scenario))
    return found


async def ask(client: AsyncOpenAI, scenario: Scenario) -> str:
    """Raises APIError."""
    if scenario.kind == "embeddings":
        vectors = await client.embeddings.create(model=scenario.model, input="Hello", encoding_format="float")
        return vectors.model
    if scenario.kind == "chat":
        answer = await client.chat.completions.create(
            model=scenario.model, messages=[{"role": "user", "content": "Hello"}]
        )
        return answer.choices[0].message.content or ""
    stream = await client.chat.completions.create(
        model=scenario.model, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
