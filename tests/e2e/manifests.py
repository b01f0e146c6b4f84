"""The manifests that the end-to-end tests apply: YAML as a user writes it, with the addresses of this run
filled in.
"""


def provider(
    name: str, url: str, *, open_for: str = "1s", failures: int = 3, model: str = "gpt-4o-mini"
) -> str:
    return f"""\
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec:
  type: openai-compatible
  baseUrl: {url}
  models: [{{name: {model}}}]
  circuit: {{consecutiveFailures: {failures}, openFor: {open_for}}}
  health: {{active: {{interval: 2s, timeout: 1s}}}}
---
"""


def route(name: str, *providers: str, model: str = "gpt-4o-mini", weights: tuple[int, ...] = ()) -> str:
    """The providers in the order of their priority; with `weights`, all of one priority."""
    targets = "".join(
        f"    - {{providerRef: {{name: {p}}}, "
        + (f"weight: {weights[i]}" if weights else f"priority: {i}")
        + "}\n"
        for i, p in enumerate(providers)
    )
    return f"""\
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  models: [{model}]
  targets:
{targets}---
"""


def quota(name: str, key: str, limits: str = "[]") -> str:
    """With the Secret that holds `key`, labelled so that a change is seen at once."""
    return f"""\
apiVersion: headgate.dev/v1alpha1
kind: TenantQuota
metadata: {{name: {name}}}
spec:
  subjects: [{{name: main, type: APIKey, secretRef: {{name: {name}-key}}}}]
  limits: {limits}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}-key, labels: {{headgate.dev/watched: "true"}}}}
stringData: {{api-key: {key}}}
---
"""
