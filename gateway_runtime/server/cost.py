"""What a provider asks for its tokens: a choice in, prices out.

`relay` asks when an attempt told what it used, `lane` once for all requests of a kind. A price in the
manifest counts before the table of known models: who wrote it knows what was agreed. Without either the
prices are not known, and nothing is guessed.
"""

from gateway_runtime.engine.plan import Choice
from gateway_runtime.providers.models.facts import find_facts
from gateway_runtime.providers.models.prices import Prices


def find_prices(choice: Choice) -> Prices | None:
    """None: not known, which is not the same as costing nothing."""
    price = choice.price
    if price is not None:
        return Prices(input_usd_picos=price.input_usd_picos, output_usd_picos=price.output_usd_picos)
    provider = choice.provider
    name = provider.type if provider.litellm is None else provider.litellm.provider
    facts = find_facts(name, choice.model)
    return None if facts is None else facts.prices
