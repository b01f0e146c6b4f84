"""What each peer is told, in its own language: one listener, the two replicas of the mock behind it, nothing
that it does not need for that.

Called by `peers`. They get no keys to check, no limits and no routes by model; where one does a part of this
anyway (LiteLLM's key, sgl-model-gateway's policies) it is left as it comes. Timeouts are long: a benchmark
must show a slow answer, not hide it behind an error.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.speed.process import HOST
from bench.speed.programs import KEY


def write_nginx(folder: Path, port: int, upstreams: Sequence[int]) -> Path:
    servers = "\n".join(f"    server {HOST}:{upstream};" for upstream in upstreams)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    spools = "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in kinds)
    return _write(
        folder / "nginx.conf",
        f"""\
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
{spools}
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_buffer_size 1m;
  client_max_body_size 64m;
  upstream mock {{
{servers}
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {HOST}:{port} backlog=4096;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
""",
    )


def write_envoy(folder: Path, port: int, upstreams: Sequence[int]) -> Path:
    endpoints = "\n".join(
        f"        - endpoint: {{address: {{socket_address: {{address: {HOST}, port_value: {upstream}}}}}}}"
        for upstream in upstreams
    )
    types = "type.googleapis.com/envoy.extensions.filters"
    manager = "network.http_connection_manager.v3.HttpConnectionManager"
    return _write(
        folder / "envoy.yaml",
        f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: {HOST}, port_value: {port}}}}}
    enable_reuse_port: false
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.{manager}
          stat_prefix: ingress
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: mock, timeout: 600s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": {types}.http.router.v3.Router, suppress_envoy_headers: true}}
  clusters:
  - name: mock
    type: STATIC
    connect_timeout: 2s
    circuit_breakers:
      thresholds: [{{max_connections: 8192, max_pending_requests: 65536, max_requests: 65536}}]
    load_assignment:
      cluster_name: mock
      endpoints:
      - lb_endpoints:
{endpoints}
""",
    )


def write_litellm(folder: Path, _port: int, upstreams: Sequence[int]) -> Path:
    models = "\n".join(
        f"""\
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: http://{HOST}:{upstream}/v1
      api_key: sk-upstream"""
        for upstream in upstreams
    )
    return _write(
        folder / "litellm.yaml",
        f"""\
model_list:
{models}
litellm_settings:
  num_retries: 0
  request_timeout: 600
  set_verbose: false
  telemetry: false
general_settings:
  master_key: {KEY}
""",
    )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
