"""Models: what is known of them without asking anybody: prices, limits, what they can do.

    provider, model      -> facts      -> ModelFacts: mode, context window, capabilities, prices
    prices, usage        -> prices     -> picodollars

Whose a model is, by its name alone, is in `contract.inference`, since the operator asks it.

In: `server`, for what a manifest does not say of a model; what it says always counts before what stands
here. `models.json` is the data, frozen by `scripts/freeze_models.py` from the table that litellm's wheel
carries, so that litellm itself is not needed.
"""
