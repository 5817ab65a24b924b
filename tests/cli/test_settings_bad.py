"""Every bad setting stops the start with one line that names it and says what would be right."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.certificates import write_certificate

from pinguin_cli.settings import ClientSettings, SandboxSettings, ServerSettings, SettingsError

Environment = Callable[[Mapping[str, str]], None]

GOOD = {
    "NOTIFICATION_AUTH_TOKEN": "s3cret-t0ken",
    "SMTP_HOST": "smtp.example.com",
    "FROM_EMAIL": "pinguin@example.com",
}
PORT = "must be a whole number from 1 to 65535"
LISTEN = "must be host:port with a port up to 65535"
CONNECT = "must be host:port with a port from 1 to 65535"
PREFIXES = "must each be '+' and the first digits of a number"
TOKEN = "must be one token or several, comma-separated, none of them empty"
SECONDS = "must be a number of seconds, more than 0 and at most 600"
FILE = "must be a file that can be read"
PATH = "must be the path of a file, without '?'"
HTTPS = "must be an https:// address without query or password"
HOST = "must be a host name without scheme or port"
E164 = "must be a number in E.164 form"
ONE_LINE = "must be one line without control characters"

BAD_BY_ITSELF = [
    ("NOTIFICATION_AUTH_TOKEN", ",", TOKEN),
    ("NOTIFICATION_AUTH_TOKEN", "one,,two", TOKEN),
    ("NOTIFICATION_AUTH_TOKEN", "two words", TOKEN),
    ("NOTIFICATION_AUTH_TOKEN", "schlüssel", TOKEN),
    ("NOTIFICATION_AUTH_TOKEN", "bell\x07", TOKEN),
    ("DATABASE_PATH", "what?.db", PATH),
    ("DATABASE_PATH", "100%41.db", PATH),
    ("DATABASE_PATH", "folder/", PATH),
    ("DATABASE_PATH", ".", PATH),
    ("DATABASE_URL", "pinguin.db", "must begin with sqlite:///"),
    ("DATABASE_URL", "postgresql+asyncpg://u:pw@db/x", "must begin with sqlite:///, postgresql://"),
    ("DATABASE_URL", "oracle://u:pw@db/x", "must begin with sqlite:///, postgresql://"),
    ("DATABASE_URL", "postgresql://u:pw@db", "must name server and database"),
    ("DATABASE_URL", "postgresql://u:pw@db/", "must name server and database"),
    ("DATABASE_URL", "mysql://u:p/w@db/x", "must name server and database"),
    ("DATABASE_URL", "mysql://u:pw@db:70000/x", "must name server and database"),
    ("DATABASE_URL", "mariadb://u:pw@db/x\x07", "must name server and database"),
    ("DATABASE_URL", "sqlite:///", "must name a file"),
    ("DATABASE_URL", "sqlite:///:memory:", "must name a file"),
    ("DATABASE_URL", "sqlite:///x.db?mode=ro", PATH),
    ("LOG_LEVEL", "LOUD", "must be one of DEBUG, INFO, WARN, ERROR"),
    ("GRPC_LISTEN_ADDR", "50051", LISTEN),
    ("GRPC_LISTEN_ADDR", ":50051", LISTEN),
    ("GRPC_LISTEN_ADDR", "localhost", LISTEN),
    ("GRPC_LISTEN_ADDR", "localhost:65536", LISTEN),
    ("GRPC_LISTEN_ADDR", "localhost:-1", LISTEN),
    ("GRPC_LISTEN_ADDR", "localhost:٣", LISTEN),
    ("GRPC_LISTEN_ADDR", "::1:50051", LISTEN),
    ("GRPC_LISTEN_ADDR", "http://localhost:50051", LISTEN),
    ("GRPC_LISTEN_ADDR", "..:1", LISTEN),
    ("GRPC_LISTEN_ADDR", f"{'m' * 64}:1", LISTEN),
    ("GRPC_LISTEN_ADDR", "[::12345]:1", "must have an IPv6 address between [ and ]"),
    ("GRPC_ALLOW_PLAINTEXT", "maybe", "must be 1 or 0"),
    ("MAX_RETRIES", "-1", "must be a whole number from 0 to 100"),
    ("MAX_RETRIES", "101", "must be a whole number from 0 to 100"),
    ("MAX_RETRIES", "2.5", "must be a whole number from 0 to 100"),
    ("MAX_RETRIES", "9" * 40, "must be a whole number from 0 to 100"),
    ("RETRY_INTERVAL_SEC", "0", "more than 0 and at most 3600"),
    ("RETRY_INTERVAL_SEC", "3601", "more than 0 and at most 3600"),
    ("RETRY_INTERVAL_SEC", "nan", "more than 0 and at most 3600"),
    ("ON_AMBIGUOUS", "ask", "must be one of retry, fail"),
    ("EMAIL_RATE_PER_SEC", "0", "must be a number, more than 0 and at most 10000"),
    ("EMAIL_RATE_PER_SEC", "10001", "must be a number, more than 0 and at most 10000"),
    ("SMS_RATE_PER_SEC", "-1", "must be a number, more than 0 and at most 10000"),
    ("SMS_RATE_PER_SEC", "inf", "must be a number, more than 0 and at most 10000"),
    ("CONNECTION_TIMEOUT_SEC", "0.0", SECONDS),
    ("CONNECTION_TIMEOUT_SEC", "-5", SECONDS),
    ("OPERATION_TIMEOUT_SEC", "inf", SECONDS),
    ("OPERATION_TIMEOUT_SEC", "601", SECONDS),
    ("OPERATION_TIMEOUT_SEC", "1e2", SECONDS),
    ("SMTP_HOST", "smtp://mail", HOST),
    ("SMTP_HOST", "mail:25", HOST),
    ("SMTP_HOST", "two words", HOST),
    ("SMTP_HOST", "mail\n.example", HOST),
    ("SMTP_HOST", "mail..example", HOST),
    ("SMTP_HOST", "mail.example..", HOST),
    ("SMTP_HOST", f"{'m' * 64}.example", HOST),
    ("SMTP_PORT", "0", PORT),
    ("SMTP_PORT", "65536", PORT),
    ("SMTP_PORT", "smtp", PORT),
    ("SMTP_PORT", "1_0", PORT),
    ("SMTP_TLS", "yes", "must be one of auto, starttls, implicit, off"),
    ("SMTP_TLS_CA_FILE", "nowhere.pem", FILE),
    ("SMTP_TLS_CA_FILE", "empty.pem", "must be a file of certificates in PEM form"),
    ("SMTP_FALLBACK_HOST", "mail:25", HOST),
    ("SMTP_FALLBACK_PORT", "0", PORT),
    ("SMTP_FALLBACK_TLS", "yes", "must be one of auto, starttls, implicit, off"),
    ("SMTP_FALLBACK_TLS_CA_FILE", "nowhere.pem", FILE),
    ("FROM_EMAIL", "pinguin", "must be one e-mail address"),
    ("FROM_EMAIL", "Pinguin <pinguin@example.com>", "must be one plain e-mail address"),
    ("FROM_EMAIL", "pinguin@localhost", "must have a full domain name"),
    ("TWILIO_ACCOUNT_SID", "AC12/../x", "must be letters and digits only"),
    ("TWILIO_AUTH_TOKEN", "one\ntwo", ONE_LINE),
    ("TWILIO_FROM_NUMBER", "0150100123", E164),
    ("TWILIO_FROM_NUMBER", "Pinguin", E164),
    ("SMS_ALLOWED_PREFIXES", "49", PREFIXES),
    ("SMS_ALLOWED_PREFIXES", "+1,", PREFIXES),
    ("SMS_ALLOWED_PREFIXES", "+1;+49", PREFIXES),
    ("SMS_PER_DAY", "0", "must be a whole number from 1 to 1000000"),
    ("SMS_PER_DAY", "none", "must be a whole number from 1 to 1000000"),
    ("SMS_PER_RECIPIENT_PER_DAY", "1000001", "must be a whole number from 1 to 1000000"),
    ("SMS_MAX_SEGMENTS", "0", "must be a whole number from 1 to 50"),
    ("SMS_MAX_SEGMENTS", "51", "must be a whole number from 1 to 50"),
    ("SMS_FOLD_TYPOGRAPHY", "quotes", "must be 1 or 0"),
    ("TWILIO_BASE_URL", "api.twilio.com", HTTPS),
    ("TWILIO_BASE_URL", "ftp://api.twilio.com", HTTPS),
    ("TWILIO_BASE_URL", "http://api.twilio.com", HTTPS),
    ("TWILIO_BASE_URL", "http://localhost.example.com", HTTPS),
    ("TWILIO_BASE_URL", "https://user:pw@api.twilio.com", HTTPS),
    ("TWILIO_BASE_URL", "https://api.twilio.com/?x=1", HTTPS),
    ("TWILIO_BASE_URL", "https://api.twilio.com:http", HTTPS),
    ("TWILIO_BASE_URL", "https://[::1", HTTPS),
    ("TWILIO_BASE_URL", "https://api..example.com", HTTPS),
]


SECOND = {"SMTP_FALLBACK_HOST": "smtp2.example.com"}


def needed(name: str) -> Mapping[str, str]:
    """What else must be set, so that nothing is wrong but this."""
    return SECOND if name.startswith("SMTP_FALLBACK_") else {}


@pytest.mark.parametrize(("name", "value", "text"), BAD_BY_ITSELF)
def test_a_bad_value_is_named(
    set_environment: Environment, tmp_path: Path, name: str, value: str, text: str
) -> None:
    (tmp_path / "empty.pem").touch()
    set_environment({**GOOD, **needed(name), name: value})
    with pytest.raises(SettingsError) as caught:
        ServerSettings.read()
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}: ")
    assert text in problem
    assert "\n" not in problem


BAD_TOGETHER: list[tuple[str, Mapping[str, str], str]] = [
    ("no token", {"NOTIFICATION_AUTH_TOKEN": ""}, "NOTIFICATION_AUTH_TOKEN: is required"),
    (
        "two tokens under two names",
        {"GRPC_AUTH_TOKEN": "another"},
        "NOTIFICATION_AUTH_TOKEN: differs from GRPC_AUTH_TOKEN",
    ),
    ("no sender", {"FROM_EMAIL": ""}, "FROM_EMAIL: is required, because SMTP_HOST is set"),
    (
        "no channel",
        {"SMTP_HOST": ""},
        "SMTP_HOST: neither e-mail nor SMS is configured",
    ),
    (
        "half of Twilio, and no SMTP",
        {"SMTP_HOST": "", "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x"},
        "SMTP_HOST: neither e-mail nor SMS is configured",
    ),
    (
        "user without password",
        {"SMTP_USERNAME": "ada"},
        "SMTP_PASSWORD: is required, because SMTP_USERNAME is set",
    ),
    (
        "password without user",
        {"SMTP_PASSWORD": "x"},
        "SMTP_USERNAME: is required, because SMTP_PASSWORD is set",
    ),
    (
        "password in the clear",
        {"SMTP_USERNAME": "ada", "SMTP_PASSWORD": "x", "SMTP_TLS": "OFF"},
        "SMTP_TLS: off would send SMTP_PASSWORD in the clear",
    ),
    (
        "fallback without a first relay",
        {
            "SMTP_HOST": "",
            "SMTP_FALLBACK_HOST": "smtp2.example.com",
            "TWILIO_ACCOUNT_SID": "AC1",
            "TWILIO_AUTH_TOKEN": "x",
            "TWILIO_FROM_NUMBER": "+15550100123",
        },
        "SMTP_HOST: is required, because SMTP_FALLBACK_HOST is set",
    ),
    (
        "fallback without a host",
        {"SMTP_FALLBACK_PORT": "25", "SMTP_FALLBACK_TLS": "starttls"},
        "SMTP_FALLBACK_HOST: is required, because SMTP_FALLBACK_PORT is set",
    ),
    (
        "user of the fallback without password",
        {**SECOND, "SMTP_FALLBACK_USERNAME": "ada"},
        "SMTP_FALLBACK_PASSWORD: is required, because SMTP_FALLBACK_USERNAME is set",
    ),
    (
        "password of the fallback without user",
        {**SECOND, "SMTP_FALLBACK_PASSWORD": "x"},
        "SMTP_FALLBACK_USERNAME: is required, because SMTP_FALLBACK_PASSWORD is set",
    ),
    (
        "password of the fallback in the clear",
        {
            **SECOND,
            "SMTP_FALLBACK_USERNAME": "ada",
            "SMTP_FALLBACK_PASSWORD": "x",
            "SMTP_FALLBACK_TLS": "off",
        },
        "SMTP_FALLBACK_TLS: off would send SMTP_FALLBACK_PASSWORD in the clear",
    ),
    (
        "certificate without key",
        {"GRPC_TLS_CERT_FILE": "there.pem"},
        "GRPC_TLS_KEY_FILE: is required, because GRPC_TLS_CERT_FILE is set",
    ),
    (
        "key without certificate",
        {"GRPC_TLS_KEY_FILE": "there.pem"},
        "GRPC_TLS_CERT_FILE: is required, because GRPC_TLS_KEY_FILE is set",
    ),
    (
        "client authority without certificate",
        {"GRPC_TLS_CLIENT_CA_FILE": "ca.pem"},
        "GRPC_TLS_CERT_FILE: is required, because GRPC_TLS_CLIENT_CA_FILE is set",
    ),
    (
        "all interfaces in clear text",
        {"GRPC_LISTEN_ADDR": "0.0.0.0:50051"},
        "GRPC_LISTEN_ADDR: other machines would connect without TLS",
    ),
    (
        "all IPv6 interfaces in clear text",
        {"GRPC_LISTEN_ADDR": "[::]:50051", "GRPC_ALLOW_PLAINTEXT": "0"},
        "GRPC_LISTEN_ADDR: other machines would connect without TLS",
    ),
    (
        "a name that may be anywhere in clear text",
        {"GRPC_LISTEN_ADDR": "pinguin.example.com:50051"},
        "GRPC_LISTEN_ADDR: other machines would connect without TLS",
    ),
]


@pytest.mark.parametrize(
    ("variables", "start"), [pytest.param(*case[1:], id=case[0]) for case in BAD_TOGETHER]
)
def test_settings_that_do_not_go_together_are_named(
    set_environment: Environment, tmp_path: Path, variables: Mapping[str, str], start: str
) -> None:
    (tmp_path / "there.pem").touch()
    write_certificate(tmp_path)
    set_environment({**GOOD, **variables})
    with pytest.raises(SettingsError) as caught:
        ServerSettings.read()
    (problem,) = caught.value.problems
    assert problem.startswith(start)


BAD_FOR_CLIENTS = [
    ({"NOTIFICATION_AUTH_TOKEN": ""}, "NOTIFICATION_AUTH_TOKEN: is required"),
    ({"GRPC_SERVER_ADDR": "localhost:0"}, f"GRPC_SERVER_ADDR: {CONNECT}"),
    ({"GRPC_SERVER_ADDR": "localhost"}, f"GRPC_SERVER_ADDR: {CONNECT}"),
    ({"GRPC_SERVER_ADDR": "a..b:1"}, f"GRPC_SERVER_ADDR: {CONNECT}"),
    ({"GRPC_SERVER_CA_FILE": "nowhere.pem"}, f"GRPC_SERVER_CA_FILE: {FILE}"),
    ({"GRPC_SERVER_TLS": "on please"}, "GRPC_SERVER_TLS: must be 1 or 0"),
    (
        {"GRPC_CLIENT_CERT_FILE": "there.pem"},
        "GRPC_CLIENT_KEY_FILE: is required, because GRPC_CLIENT_CERT_FILE is set",
    ),
    (
        {"GRPC_CLIENT_KEY_FILE": "there.pem"},
        "GRPC_CLIENT_CERT_FILE: is required, because GRPC_CLIENT_KEY_FILE is set",
    ),
]


@pytest.mark.parametrize(("variables", "start"), BAD_FOR_CLIENTS)
def test_what_clients_need_is_checked_too(
    set_environment: Environment, tmp_path: Path, variables: Mapping[str, str], start: str
) -> None:
    (tmp_path / "there.pem").touch()
    set_environment({**GOOD, **variables})
    with pytest.raises(SettingsError) as caught:
        ClientSettings.read()
    (problem,) = caught.value.problems
    assert problem.startswith(start)


def test_one_start_lists_every_problem(set_environment: Environment, tmp_path: Path) -> None:
    """Nobody mends one only to be told of the next."""
    (tmp_path / ".env").write_text("SMTP_HOTS=x\nMAX_RETRIES=many\n")
    set_environment({"SMTP_HOST": "a b", "SMTP_PORT": "0", "SMTP_USERNAME": "ada"})
    with pytest.raises(SettingsError) as caught:
        ServerSettings.read()
    assert {problem.partition(":")[0] for problem in caught.value.problems} == {
        "SMTP_HOTS",
        "MAX_RETRIES",
        "SMTP_HOST",
        "SMTP_PORT",
        "SMTP_PASSWORD",
        "FROM_EMAIL",
        "NOTIFICATION_AUTH_TOKEN",
    }


@pytest.mark.parametrize("name", [name for name, _, _ in BAD_BY_ITSELF])
def test_no_value_is_quoted(set_environment: Environment, name: str) -> None:
    """A secret may stand in the wrong place."""
    secret = "\x07hush-hush-424242"
    set_environment({**GOOD, name: secret})
    with pytest.raises(SettingsError) as caught:
        ServerSettings.read()
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value)


def test_a_sandbox_needs_nothing_but_refuses_what_is_bad(set_environment: Environment) -> None:
    set_environment({"SMTP_PORT": "none"})
    with pytest.raises(SettingsError) as caught:
        SandboxSettings.read()
    assert caught.value.problems == (f"SMTP_PORT: {PORT}",)
