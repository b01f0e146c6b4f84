"""`/v1/providers` without a cluster: `headgate up` writes its own folder.

    POST   -> <name>.yaml, and <name>.secret.yaml (mode 0600) -> reload -> the provider with its verdict
    DELETE -> exactly those documents are taken out of their files -> reload

In: callers' wishes. Out: files as a person would write them, in the first folder that `up` was given. `up`
brings the reload and the objects with their statuses. What makes no sense is refused before anything is
written, in the words of `headgate validate`.

The one subtle rule: whoever can write here can send every caller's requests elsewhere. So it takes a caller
on this machine (see `providers_api.read_visitor`), or the key in HEADGATE_ADMIN_KEY; a key for models opens
nothing here.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import yaml

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.server.providers_api import Caller, ListedProvider
from headgate.folder import DEFAULT_NAMESPACE, find_files
from headgate.providers_body import CREATED_WITH, Wanted, read_wanted
from headgate.providers_object import describe_provider
from headgate.yaml_lines import YamlProblem
from headgate.yaml_removal import CannotRemove, find_documents, remove_documents
from headgate_operator.api.manifest import parse_manifest
from headgate_operator.compile.findings import invalid_fields

ADMIN_KEY: Final = "HEADGATE_ADMIN_KEY"
"""Environment variable."""

_PUBLIC: Final = 0o644
_PRIVATE: Final = 0o600

Object = Mapping[str, Any]


class FolderProviders:
    """See `providers_api.ProvidersApi`."""

    def __init__(
        self,
        paths: Sequence[Path],
        admin_key: str | None,
        list_objects: Callable[[], Iterable[Object]],
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        """admin_key: None or empty admits nobody by key. list_objects: what the folder holds, with statuses.
        reload: returns when what is in the files now is live, or was refused.
        """
        self._paths = tuple(paths)
        self._admin_key = admin_key
        self._list_objects = list_objects
        self._reload = reload
        self._one_at_a_time = asyncio.Lock()

    def admit(self, caller: Caller) -> None:
        if caller.is_local:
            return
        key = (caller.key or "").encode("utf-8", "surrogateescape")
        if self._admin_key and compare_digest(key, self._admin_key.encode("utf-8", "surrogateescape")):
            return
        raise GatewayError(
            ErrorCode.NOT_PERMITTED,
            f"Providers are managed from the gateway's own machine, or with the key in its {ADMIN_KEY} as "
            "`Authorization: Bearer <key>`. A key for models does not open this, nor does a web page.",
        )

    async def list_providers(self, caller: Caller) -> Sequence[ListedProvider]:
        return [p for p in self._describe() if caller.namespace in (None, p.namespace)]

    async def read_provider(self, caller: Caller, name: str) -> ListedProvider:
        namespace = caller.namespace or DEFAULT_NAMESPACE
        found = self._find(namespace, name)
        if found is None:
            there = ", ".join(p.id for p in self._describe()) or "none"
            raise GatewayError(
                ErrorCode.UNKNOWN_PROVIDER,
                f"There is no provider {namespace}/{name}. Providers there are: {there}.",
            )
        return found

    async def create_provider(self, caller: Caller, wanted: Mapping[str, object]) -> ListedProvider:
        made = read_wanted(wanted)
        namespace = caller.namespace or DEFAULT_NAMESPACE
        _judge(made.build_provider(namespace), made.build_route(namespace))
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(self._write, made, namespace)
            except OSError as error:
                raise _refuse_files("written", error) from error
            await self._reload()
        created = self._find(namespace, made.name)
        if created is None:
            raise GatewayError(
                ErrorCode.PROVIDERS_UNAVAILABLE,
                f"Provider {namespace}/{made.name} stands in the folder, and the gateway has refused the "
                "whole of it: what it ran before runs on. Its log says why.",
            )
        return created

    async def delete_provider(self, caller: Caller, name: str) -> str:
        namespace = caller.namespace or DEFAULT_NAMESPACE
        async with self._one_at_a_time:
            try:
                found = await asyncio.to_thread(self._remove, namespace, name)
            except OSError as error:
                raise _refuse_files("changed", error) from error
            if not found:
                await self.read_provider(caller, name)  # which mostly says that there is none
                raise GatewayError(
                    ErrorCode.PROVIDER_CONFLICT,
                    f"Provider {namespace}/{name} serves, but no file says so: it comes from the "
                    "environment, or its file is broken now. `headgate validate` names the line then.",
                )
            await self._reload()
        return f"{namespace}/{name}"

    def _find(self, namespace: str, name: str) -> ListedProvider | None:
        return next((p for p in self._describe() if (p.namespace, p.name) == (namespace, name)), None)

    def _describe(self) -> Iterator[ListedProvider]:
        for raw in self._list_objects():
            if raw.get("kind") == "LLMProvider":
                yield describe_provider(raw)

    def _write(self, made: Wanted, namespace: str) -> None:
        """Raises GatewayError and OSError; nothing is left then."""
        folder = next((path for path in self._paths if path.is_dir()), None)
        if folder is None:
            raise GatewayError(
                ErrorCode.PROVIDERS_UNAVAILABLE,
                "`headgate up` runs without a folder, so there is no place for a new provider. Start it with "
                "one: headgate up FOLDER.",
            )
        provider, secret, route = (
            made.build_provider(namespace),
            made.build_secret(namespace),
            made.build_route(namespace),
        )
        objects = [item for item in (provider, secret, route) if item is not None]
        self._refuse_existing(objects)
        written: list[Path] = []
        try:
            # The key first: a look in between finds all that the provider names.
            if secret is not None:
                written.append(_create(folder, f"{made.name}.secret", namespace, [secret], _PRIVATE))
            public = [item for item in objects if item is not secret]
            written.append(_create(folder, made.name, namespace, public, _PUBLIC))
        except OSError:
            for path in written:
                path.unlink(missing_ok=True)
            raise

    def _refuse_existing(self, objects: Sequence[Object]) -> None:
        wanted = {_identify(item) for item in objects}
        for path in find_files(self._paths):
            for item in _read_documents(path):
                identity = _identify(item)
                if identity in wanted:
                    kind, namespace, name = identity
                    raise GatewayError(
                        ErrorCode.PROVIDER_CONFLICT,
                        f"{kind} {namespace}/{name} is already defined in {path}. Give the new one another "
                        f"name, or delete that one first.",
                    )

    def _remove(self, namespace: str, name: str) -> bool:
        """Whether it was there. Raises GatewayError and OSError."""

        def is_provider(item: Object) -> bool:
            return _identify(item) == ("LLMProvider", namespace, name)

        def is_meant(item: Object) -> bool:
            kind, there, _ = _identify(item)
            made_with = _mapping(_mapping(item.get("metadata")).get("annotations")).get(CREATED_WITH)
            companion = kind in ("Secret", "ModelRoute") and there == namespace and made_with == name
            return companion or is_provider(item)

        files = {path: tuple(_read_documents(path)) for path in find_files(self._paths)}
        if not any(is_provider(item) for items in files.values() for item in items):
            return False
        meant = [path for path, items in files.items() if any(is_meant(item) for item in items)]
        changes: dict[Path, str | None] = {}
        for path in meant:
            try:
                changes[path] = remove_documents(_read_text(path), is_meant)
            except CannotRemove as error:
                raise GatewayError(
                    ErrorCode.PROVIDER_CONFLICT,
                    f"Provider {namespace}/{name} cannot be taken out of {path}: {error}.",
                ) from error
        for path, text in changes.items():
            if text is None:
                path.unlink()
            else:
                _replace(path, text)
        return True


def _judge(*manifests: Object | None) -> None:
    """Raises GatewayError with the findings of `headgate validate`."""
    texts = []
    for raw in manifests:
        if raw is not None:
            manifest = parse_manifest(raw, refuse_unknown_fields=True)
            texts += [finding.text(manifest.meta) for finding in invalid_fields(manifest)]
    if texts:
        raise GatewayError(ErrorCode.INVALID_PROVIDER, "\n".join(texts))


def _create(folder: Path, stem: str, namespace: str, objects: Sequence[Object], mode: int) -> Path:
    """A new file, there at once with all it says. Raises OSError."""
    shown = [_omit_default_namespace(item) for item in objects]
    text = "# Made by POST /v1/providers.\n" + yaml.safe_dump_all(shown, sort_keys=False, allow_unicode=True)
    temporary = _write_aside(folder, text, mode)
    try:
        for path in (folder / f"{stem}.yaml", folder / f"{namespace}.{stem}.yaml"):
            with suppress(FileExistsError):  # something else of that name: a link never overwrites
                path.hardlink_to(temporary)
                return path
        raise FileExistsError(f"{path} is there already")
    finally:
        temporary.unlink()


def _omit_default_namespace(item: Object) -> dict[str, Any]:
    """So that the file can be applied to any namespace of a cluster, as those that people write."""
    metadata = dict(item["metadata"])
    if metadata["namespace"] == DEFAULT_NAMESPACE:
        del metadata["namespace"]
    return {**item, "metadata": metadata}


def _replace(path: Path, text: str) -> None:
    target = path.resolve()  # of a link, what it leads to
    temporary = _write_aside(target.parent, text, target.stat().st_mode & 0o777)
    try:
        temporary.replace(target)
    except OSError:
        temporary.unlink()
        raise


def _write_aside(folder: Path, text: str, mode: int) -> Path:
    """Hidden, so that nobody reads half of it."""
    path = folder / f".headgate-{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    return path


def _read_documents(path: Path) -> Iterator[Object]:
    """Nothing for a file that is not YAML, or gone: others say so."""
    with suppress(YamlProblem, OSError, UnicodeDecodeError):
        yield from tuple(find_documents(_read_text(path)))


def _read_text(path: Path) -> str:
    """With its own line ends."""
    return path.read_bytes().decode()


def _identify(item: Object) -> tuple[str, str, str]:
    """Kind, namespace, name."""
    metadata = _mapping(item.get("metadata"))
    return (
        str(item.get("kind")),
        str(metadata.get("namespace") or DEFAULT_NAMESPACE),
        str(metadata.get("name")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _refuse_files(done: str, error: OSError) -> GatewayError:
    return GatewayError(
        ErrorCode.PROVIDERS_UNAVAILABLE,
        f"The folder of manifests cannot be {done}: {error.strerror or error}. Make it writable for "
        "`headgate up`, or edit the files yourself.",
    )
