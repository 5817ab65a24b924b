"""TLS and mutual TLS, with certificates of a private authority."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from hyperframe.frame import GoAwayFrame, SettingsFrame
from support.grpc_serving import TOKEN, run, serving
from support.patience import patient

from pinguin_core import Email, EmailAddress, NotificationService
from pinguin_core.testing.fakes import MemoryRepository
from pinguin_grpc.client import PinguinClient, ServiceUnreachable
from pinguin_grpc.server import GrpcServer, TlsFiles

MAIL = Email(EmailAddress("ada@example.com"), "Hello", "Good news")
CA = trustme.CA()
STRANGERS_CA = trustme.CA()


def files(folder: Path, *, client_ca: trustme.CA | None = None) -> TlsFiles:
    certificate = CA.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    if client_ca is None:
        return TlsFiles(folder / "cert.pem", folder / "key.pem")
    client_ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")


def trusting(ca: trustme.CA, *, shown: trustme.CA | None = None) -> ssl.SSLContext:
    """Return what a client checks with, and the certificate that it shows."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if shown is not None:
        shown.issue_cert("client").configure_cert(context)
    return context


async def sends(tls: TlsFiles, client_tls: ssl.SSLContext | None) -> bool:
    async with (
        serving(MemoryRepository(), tls=tls) as service,
        service.client(tls=client_tls) as client,
    ):
        try:
            return bool((await client.send(MAIL)).id)
        finally:
            assert service.observer.troubles == []


@patient
async def test_a_client_that_trusts_the_authority_is_served(tmp_path: Path) -> None:
    assert await sends(files(tmp_path), trusting(CA))


@patient
async def test_a_certificate_of_a_stranger_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match=r"is not trusted: .*issuer.*; name its CA$"):
        await sends(files(tmp_path), trusting(STRANGERS_CA))


@patient
async def test_a_client_without_tls_gets_nothing(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable):
        await sends(files(tmp_path), None)


@patient
async def test_mutual_tls_lets_in_who_shows_a_certificate_of_the_authority(tmp_path: Path) -> None:
    assert await sends(files(tmp_path, client_ca=CA), trusting(CA, shown=CA))


@patient
@pytest.mark.parametrize("shown", [None, STRANGERS_CA])
async def test_mutual_tls_keeps_out_everybody_else(
    tmp_path: Path, shown: trustme.CA | None
) -> None:
    with pytest.raises(ServiceUnreachable):
        await sends(files(tmp_path, client_ca=CA), trusting(CA, shown=shown))


@patient
async def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    context = trusting(CA)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ServiceUnreachable):
        await sends(files(tmp_path), context)


@patient
async def test_http2_is_what_both_agree_on(tmp_path: Path) -> None:
    async with (
        serving(MemoryRepository(), tls=files(tmp_path)) as service,
        service.client(tls=trusting(CA)) as client,
    ):
        await client.send(MAIL)
        (connection,) = service.server._connections
        tls = connection.transport.get_extra_info("ssl_object")

        assert tls.selected_alpn_protocol() == "h2"


@patient
async def test_files_that_are_missing_or_bad_are_os_errors(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing of that kind")
    good = files(tmp_path, client_ca=CA)
    for tls, error in (
        (TlsFiles(tmp_path / "none.pem", good.key), FileNotFoundError),
        (TlsFiles(tmp_path / "bad.pem", good.key), ssl.SSLError),
        (TlsFiles(good.certificate, good.key, tmp_path / "bad.pem"), ssl.SSLError),
        (TlsFiles(good.certificate, good.certificate), ssl.SSLError),
    ):
        service = NotificationService(MemoryRepository())
        with pytest.raises(error):
            await GrpcServer(service, tokens=[TOKEN], tls=tls).start("127.0.0.1", 0)


@patient
async def test_the_clients_name_is_checked(tmp_path: Path) -> None:
    async with serving(MemoryRepository(), tls=files(tmp_path)) as service:
        by_name = PinguinClient("localhost", service.port, token=TOKEN, tls=trusting(CA))
        async with by_name as client:
            with pytest.raises(ServiceUnreachable, match=r"is not trusted: .* 'localhost'$"):
                await client.send(MAIL)


@contextmanager
def taking_leave() -> Iterator[int]:
    """Say over TLS that no call is answered any more, then nothing at all; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    CA.issue_cert("127.0.0.1").configure_cert(context)
    over = threading.Event()

    def answer() -> None:
        with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as peer:
            peer.sendall(SettingsFrame().serialize() + GoAwayFrame().serialize())
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_a_client_leaves_no_socket_behind_when_the_service_took_its_leave() -> None:
    """Not even while the service does not answer that it saw the end of TLS."""

    async def send_once(port: int) -> None:
        async with PinguinClient("127.0.0.1", port, token=TOKEN, tls=trusting(CA)) as client:
            with pytest.raises(ServiceUnreachable):
                await client.send(MAIL)

    with taking_leave() as port, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(send_once(port))
        gc.collect()
    assert [str(each.message) for each in caught if each.category is ResourceWarning] == []
