# One image for both roles: `headgate operator` and `headgate gateway`.
FROM python:3.12-slim AS build
COPY . /src
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /src/requirements/runtime.txt \
 && /opt/venv/bin/pip install --no-cache-dir --no-deps /src

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
USER 65532:65532
CMD ["headgate", "--help"]
