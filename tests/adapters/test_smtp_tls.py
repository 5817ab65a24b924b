from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from support.certificates import certified, expired, self_signed
from support.mailing import OPERATION, TO, send, sender_to
from support.patience import jump, patient
from support.scripted_smtp import ScriptedSmtp, Silence
from support.tcp_proxy import TcpProxy

from pinguin_adapters.smtp_sender import SmtpRelay, TlsMode
from pinguin_adapters.smtp_sender.login import may_log_in
from pinguin_core import Email, ProviderMisconfigured, TransientDeliveryError

LOGIN = {"username": "postmaster", "password": "correct horse"}
OFFERS = ("STARTTLS", "AUTH PLAIN LOGIN")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA) -> Iterator[Path]:
    with authority.cert_pem.tempfile() as path:
        yield Path(path)


def own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("tls", [TlsMode.AUTO, TlsMode.STARTTLS])
@patient
async def test_starttls_is_used_when_offered(
    tls: TlsMode, authority: trustme.CA, ca_file: Path
) -> None:
    server = ScriptedSmtp(extensions=OFFERS, tls=certified(authority))
    async with server, sender_to(server, tls=tls, ca_file=ca_file, **LOGIN) as sender:
        await send(sender)
        await send(sender)
    assert [message.encrypted for message in server.messages] == [True, True]
    assert server.verbs()[:5] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"]


@patient
async def test_a_large_message_arrives_whole_through_tls(
    authority: trustme.CA, ca_file: Path
) -> None:
    email = Email(TO, "Hi", ("x" * 78 + "\n") * 50_000)
    server = ScriptedSmtp(extensions=OFFERS, tls=certified(authority))
    async with server, sender_to(server, ca_file=ca_file) as sender:
        await send(sender, email)
        await send(sender)
    assert len(server.messages[0].content) > 4_000_000
    assert server.sessions == 1


@patient
async def test_a_dot_that_never_left_is_not_ambiguous_behind_tls_either(
    authority: trustme.CA, ca_file: Path
) -> None:
    email = Email(TO, "Hi", ("x" * 78 + "\n") * 200_000)
    server = ScriptedSmtp({"DATA": [Silence.STOP_READING]}, OFFERS, tls=certified(authority))
    async with server, sender_to(server, ca_file=ca_file) as sender:
        sending = asyncio.create_task(send(sender, email))
        await server.reached("DATA")
        jump(OPERATION)
        with pytest.raises(TransientDeliveryError) as caught:
            await sending
    assert caught.value.reason == "SMTP message content: timed out"
    assert not caught.value.ambiguous


@pytest.mark.parametrize("verb", ["MAIL", "DATA", "END"])
@patient
async def test_a_relay_that_hangs_behind_tls_is_given_up(
    verb: str, authority: trustme.CA, ca_file: Path
) -> None:
    server = ScriptedSmtp({verb: [Silence.HANG]}, OFFERS, tls=certified(authority))
    async with server, sender_to(server, ca_file=ca_file) as sender:
        sending = asyncio.create_task(send(sender))
        await server.reached(verb)
        jump(OPERATION)
        with pytest.raises(TransientDeliveryError) as caught:
            await sending
        await send(sender)
    assert caught.value.ambiguous == (verb == "END")


@patient
async def test_leaving_does_not_wait_for_a_relay_that_hangs_behind_tls(
    authority: trustme.CA, ca_file: Path
) -> None:
    server = ScriptedSmtp({"QUIT": [Silence.HANG]}, OFFERS, tls=certified(authority))
    async with server, sender_to(server, ca_file=ca_file) as sender:
        await send(sender)
        leaving = asyncio.create_task(sender.__aexit__(None, None, None))
        await server.reached("QUIT")
        jump(timedelta(seconds=2))
        await leaving


@patient
async def test_implicit_tls_begins_at_once(authority: trustme.CA, ca_file: Path) -> None:
    server = ScriptedSmtp(extensions=OFFERS, tls=certified(authority), implicit=True)
    async with (
        server,
        sender_to(server, tls=TlsMode.IMPLICIT, ca_file=ca_file, **LOGIN) as sender,
    ):
        await send(sender)
    assert server.messages[0].encrypted
    assert server.verbs()[:3] == ["EHLO", "AUTH", "MAIL"]


@pytest.mark.parametrize(
    ("tls", "port", "implicit"),
    [
        (TlsMode.AUTO, 465, True),
        (TlsMode.AUTO, 587, False),
        (TlsMode.IMPLICIT, 587, True),
        (TlsMode.STARTTLS, 465, False),
        (TlsMode.OFF, 465, False),
    ],
)
def test_auto_begins_with_tls_on_port_465(*, tls: TlsMode, port: int, implicit: bool) -> None:
    assert SmtpRelay("mail.example.com", port, tls=tls).begins_with_tls == implicit


@patient
async def test_off_does_not_encrypt(authority: trustme.CA) -> None:
    server = ScriptedSmtp(extensions=OFFERS, tls=certified(authority))
    async with server, sender_to(server, tls=TlsMode.OFF) as sender:
        await send(sender)
    assert not server.messages[0].encrypted


@patient
async def test_required_starttls_that_is_not_offered_sends_nothing() -> None:
    """As when somebody on the way removes the offer."""
    server = ScriptedSmtp(extensions=("AUTH PLAIN",))
    async with server, sender_to(server, tls=TlsMode.STARTTLS, **LOGIN) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.reason == "SMTP STARTTLS: required, but the relay does not offer it"
    assert server.verbs() == ["EHLO"]


@pytest.mark.parametrize("tls", [TlsMode.AUTO, TlsMode.OFF])
@patient
async def test_a_password_never_crosses_a_network_in_clear(tls: TlsMode) -> None:
    server = ScriptedSmtp(extensions=("AUTH PLAIN",), host=own_address())
    async with server, sender_to(server, tls=tls, **LOGIN) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.reason.startswith("SMTP AUTH: not attempted: ")
    assert server.verbs() == ["EHLO"]


@pytest.mark.parametrize("tls", [TlsMode.AUTO, TlsMode.OFF])
@patient
async def test_on_this_machine_a_password_may_travel_in_clear(tls: TlsMode) -> None:
    server = ScriptedSmtp(extensions=("AUTH PLAIN",))
    async with server, sender_to(server, tls=tls, **LOGIN) as sender:
        await send(sender)
    assert "AUTH" in server.verbs()


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("2001:db8::1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_only_loopback_addresses_are_this_machine(*, peer: str, here: bool) -> None:
    assert may_log_in(encrypted=False, peer=peer) == here
    assert may_log_in(encrypted=True, peer=peer)


@pytest.fixture(scope="module")
def bad_certificates(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ssl.SSLContext]:
    """Certificates by what OpenSSL says of them."""
    return {
        "unable to get local issuer certificate": certified(trustme.CA()),
        "not valid for '127.0.0.1'": certified(authority, "other.example.com"),
        "certificate has expired": expired(authority),
        "self-signed certificate": self_signed(tmp_path_factory.mktemp("certificates")),
    }


@pytest.mark.parametrize("tls", [TlsMode.AUTO, TlsMode.STARTTLS, TlsMode.IMPLICIT])
@pytest.mark.parametrize(
    "words",
    [
        "unable to get local issuer certificate",
        "not valid for '127.0.0.1'",
        "certificate has expired",
        "self-signed certificate",
    ],
)
@patient
async def test_a_bad_certificate_ends_it(
    tls: TlsMode, words: str, bad_certificates: dict[str, ssl.SSLContext], ca_file: Path
) -> None:
    """Neither the password nor the message leaves, and nothing falls back to clear text."""
    context = bad_certificates[words]
    server = ScriptedSmtp(extensions=OFFERS, tls=context, implicit=tls is TlsMode.IMPLICIT)
    async with server, sender_to(server, tls=tls, ca_file=ca_file, **LOGIN) as sender:
        with pytest.raises(ProviderMisconfigured) as caught:
            await send(sender)
    assert "the relay's certificate was not accepted: " in caught.value.reason
    assert words in caught.value.reason.replace("self signed", "self-signed")
    assert not {"AUTH", "MAIL"} & set(server.verbs())


def strip(said: bytes) -> bytes:
    return said.replace(b"250-STARTTLS\r\n", b"")


def deface(said: bytes) -> bytes:
    return said.replace(b"STARTTLS", b"XXXXXXXA")


def refuse(said: bytes) -> bytes:
    return said.replace(b"220 go ahead", b"454 4.7.0 TLS not available")


@asynccontextmanager
async def in_between(
    forge: Callable[[bytes], bytes], authority: trustme.CA, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[ScriptedSmtp, TcpProxy]]:
    """A relay that offers TLS, and somebody on the way to it who forges what it says."""
    async with ScriptedSmtp(extensions=OFFERS, tls=certified(authority)) as relay:
        proxy = TcpProxy(relay.host, relay.port, listen=host, forge=forge)
        await proxy.open()
        yield relay, proxy
        await proxy.close()


@pytest.mark.parametrize("forge", [strip, deface, refuse])
@patient
async def test_who_hides_starttls_on_the_way_gets_nothing(
    forge: Callable[[bytes], bytes], authority: trustme.CA, ca_file: Path
) -> None:
    """Where it is required: neither a password nor a message."""
    async with (
        in_between(forge, authority) as (relay, way),
        sender_to(way, tls=TlsMode.STARTTLS, ca_file=ca_file, **LOGIN) as sender,
    ):
        with pytest.raises(TransientDeliveryError, match=r"^SMTP STARTTLS: ") as caught:
            await send(sender)
    assert isinstance(caught.value, ProviderMisconfigured) == (forge is not refuse)
    assert not {"AUTH", "MAIL"} & set(relay.verbs())


@pytest.mark.parametrize("forge", [strip, deface, refuse])
@patient
async def test_who_hides_starttls_on_the_way_gets_no_password(
    forge: Callable[[bytes], bytes], authority: trustme.CA, ca_file: Path
) -> None:
    """Where it is used when offered: without a login that is as safe as it gets."""
    async with (
        in_between(forge, authority, own_address()) as (relay, way),
        sender_to(way, ca_file=ca_file, **LOGIN) as sender,
    ):
        with pytest.raises(TransientDeliveryError, match=r"^SMTP (AUTH: not attempted|STARTTLS): "):
            await send(sender)
    assert not {"AUTH", "MAIL"} & set(relay.verbs())


@patient
async def test_what_was_offered_in_clear_counts_for_nothing_in_tls(
    authority: trustme.CA, ca_file: Path
) -> None:
    in_clear = "250-relay\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 SIZE 10"
    server = ScriptedSmtp({"EHLO": [in_clear]}, ("AUTH PLAIN", "SIZE"), tls=certified(authority))
    async with server, sender_to(server, ca_file=ca_file) as sender:
        await send(sender)
    assert server.messages[0].encrypted
    assert any(
        command.endswith(f"SIZE={len(server.messages[0].content)}") for _, command in server.log
    )


@patient
async def test_a_private_authority_replaces_the_system_s(authority: trustme.CA) -> None:
    server = ScriptedSmtp(extensions=OFFERS, tls=certified(authority))
    async with server, sender_to(server) as sender:
        with pytest.raises(TransientDeliveryError, match="certificate was not accepted"):
            await send(sender)


@patient
async def test_a_relay_that_does_not_speak_tls_is_not_spoken_to() -> None:
    async with ScriptedSmtp() as server, sender_to(server, tls=TlsMode.IMPLICIT) as sender:
        with pytest.raises(TransientDeliveryError, match=r"^SMTP connect: no TLS: "):
            await send(sender)
    assert not set(server.verbs()) & {"EHLO", "MAIL"}


@patient
async def test_starttls_that_is_refused_ends_it(authority: trustme.CA) -> None:
    server = ScriptedSmtp({"STARTTLS": ["454 4.7.0 not now"]}, OFFERS, tls=certified(authority))
    async with server, sender_to(server) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.reason == "SMTP STARTTLS: 454 4.7.0 not now"
    assert server.verbs() == ["EHLO", "STARTTLS"]


@patient
async def test_words_slipped_in_before_tls_count_for_nothing(
    authority: trustme.CA, ca_file: Path
) -> None:
    """What follows the 220 in clear came from nobody knows whom (RFC 3207 4.2)."""
    slipped_in = "220 go ahead\r\n250-evil\r\n250 AUTH LOGIN"
    server = ScriptedSmtp({"STARTTLS": [slipped_in]}, OFFERS, tls=certified(authority))
    async with server, sender_to(server, ca_file=ca_file, **LOGIN) as sender:
        await send(sender)
    assert server.verbs() == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]


@patient
async def test_a_missing_file_of_authorities_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    server = ScriptedSmtp(extensions=OFFERS)
    async with server, sender_to(server, ca_file=missing) as sender:
        with pytest.raises(TransientDeliveryError) as caught:
            await send(sender)
    assert caught.value.reason.endswith(
        "cannot read the file of certificate authorities: No such file or directory"
    )
    assert "MAIL" not in server.verbs()


@patient
async def test_old_tls_is_refused(authority: trustme.CA, ca_file: Path) -> None:
    context = certified(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = ScriptedSmtp(extensions=OFFERS, tls=context)
    async with server, sender_to(server, ca_file=ca_file) as sender:
        with pytest.raises(TransientDeliveryError, match=r"^SMTP STARTTLS: Connection reset"):
            await send(sender)
    assert "MAIL" not in server.verbs()
