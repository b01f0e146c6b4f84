"""What users write: the three custom resources as pydantic models, and the one source of their CRDs.

In: objects as the API server or a YAML file gives them. Out: frozen specs (`manifest.parse_manifest`), or the
list of what is wrong with them. `schema` writes `crds/` from the same models. The docstring of a field is its
specification: `kubectl explain` shows it. Everyone may import this package; it imports nothing of the
project.
"""
