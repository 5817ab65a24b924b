"""The settings: environment variables and `.env`, read once, checked once, then frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    ModelWrapValidatorHandler,
    PlainValidator,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from pinguin_cli import env_file, names, parsers, rules
from pinguin_cli.parsers import Address
from pinguin_core import EmailAddress, PhoneNumber, PinguinError

_Seconds = Annotated[timedelta, PlainValidator(parsers.seconds(600))]
_Rate = Annotated[float, PlainValidator(parsers.rate(10_000))]
_File = Annotated[Path, PlainValidator(parsers.readable_file)]
_Authorities = Annotated[Path, PlainValidator(parsers.authorities)]
_Tokens = Annotated[tuple[SecretStr, ...], PlainValidator(parsers.tokens)]
_Line = Annotated[str, PlainValidator(parsers.line)]
_Secret = Annotated[SecretStr, PlainValidator(parsers.secret)]
_Host = Annotated[str, PlainValidator(parsers.host)]
_Port = Annotated[int, PlainValidator(parsers.port)]
_SmtpTls = Annotated[str, PlainValidator(parsers.one_of("auto", "starttls", "implicit", "off"))]


class SettingsError(PinguinError):
    """Settings that nothing can be started with.

    Attributes:
        problems: one line for each: the setting's name, what is wrong, and what would be right.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        several = ["these settings are wrong:", *problems]
        super().__init__(problems[0] if len(problems) == 1 else "\n  ".join(several))
        self.problems = tuple(problems)


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        alias_generator=str.upper,
        case_sensitive=True,
        enable_decoding=False,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        validate_default=False,
    )

    checks: ClassVar[Sequence[rules.Rule]] = ()

    notification_auth_token: _Tokens = ()
    grpc_auth_token: _Tokens = ()

    @classmethod
    def read(cls) -> Self:
        """Read and check them.

        Raises:
            SettingsError: listing every problem.
        """
        known, wanted = _known_names(), _names(cls)
        try:
            file = env_file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([env_file.unreadable(error)]) from None
        given = {**file.values, **os.environ}
        missing = wanted - given.keys()
        problems = [*file.problems(known), *names.misspelt(os.environ, known, missing)]
        try:
            settings = cls.model_validate({name: given[name] for name in wanted - missing})
        except SettingsError as error:
            raise SettingsError([*problems, *error.problems]) from None
        if problems:
            raise SettingsError(problems)
        return settings

    @property
    def tokens(self) -> Sequence[str]:
        """The bearer tokens, in the clear."""
        return [
            token.get_secret_value()
            for token in self.notification_auth_token or self.grpc_auth_token
        ]

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, given: Mapping[str, Any], handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Check each by itself and all together, so that no problem hides another."""
        present = {name: value for name, value in given.items() if value not in {"", None}}
        problems = [problem for rule in cls.checks for problem in rule(present)]
        try:
            settings = handler(dict(present))
        except ValidationError as error:
            raise SettingsError([*_problems_of(error), *problems]) from None
        if problems:
            raise SettingsError(problems)
        return settings


class ServerSettings(_Settings):
    """What `pinguin serve` needs to know; docs/configuration.md describes each."""

    checks: ClassVar[Sequence[rules.Rule]] = (
        *rules.SERVER,
        rules.token_is_given,
        rules.some_channel_is_configured,
    )

    database_path: Annotated[Path, PlainValidator(parsers.database_path)] = Path("pinguin.db")
    database_url: Annotated[SecretStr, PlainValidator(parsers.database_url)] | None = None
    log_level: Annotated[
        str, PlainValidator(parsers.one_of("DEBUG", "INFO", "WARN", "ERROR", warning="WARN"))
    ] = "INFO"
    grpc_listen_addr: Annotated[Address, PlainValidator(parsers.listen_address)] = Address(
        "localhost", 50051
    )
    grpc_allow_plaintext: Annotated[bool, PlainValidator(parsers.flag)] = False
    grpc_tls_cert_file: _File | None = None
    grpc_tls_key_file: _File | None = None
    grpc_tls_client_ca_file: _Authorities | None = None
    max_retries: Annotated[int, PlainValidator(parsers.whole_number(0, 100))] = 5
    retry_interval_sec: Annotated[timedelta, PlainValidator(parsers.seconds(3600))] = timedelta(
        seconds=30
    )
    on_ambiguous: Annotated[str, PlainValidator(parsers.one_of("retry", "fail"))] = "retry"
    email_rate_per_sec: _Rate | None = None
    sms_rate_per_sec: _Rate | None = None
    connection_timeout_sec: _Seconds = timedelta(seconds=5)
    operation_timeout_sec: _Seconds = timedelta(seconds=30)
    smtp_host: _Host | None = None
    smtp_port: _Port = 587
    smtp_username: _Line | None = None
    smtp_password: _Secret | None = None
    smtp_tls: _SmtpTls = "auto"
    smtp_tls_ca_file: _Authorities | None = None
    smtp_fallback_host: _Host | None = None
    smtp_fallback_port: _Port = 587
    smtp_fallback_username: _Line | None = None
    smtp_fallback_password: _Secret | None = None
    smtp_fallback_tls: _SmtpTls = "auto"
    smtp_fallback_tls_ca_file: _Authorities | None = None
    from_email: Annotated[EmailAddress, PlainValidator(parsers.email_address)] | None = None
    twilio_account_sid: Annotated[str, PlainValidator(parsers.account_sid)] | None = None
    twilio_auth_token: _Secret | None = None
    twilio_from_number: Annotated[PhoneNumber, PlainValidator(parsers.phone_number)] | None = None
    sms_allowed_prefixes: Annotated[tuple[str, ...], PlainValidator(parsers.number_prefixes)] = ()
    sms_per_day: Annotated[int, PlainValidator(parsers.whole_number(1, 1_000_000))] | None = None
    sms_per_recipient_per_day: (
        Annotated[int, PlainValidator(parsers.whole_number(1, 1_000_000))] | None
    ) = None
    sms_max_segments: Annotated[int, PlainValidator(parsers.whole_number(1, 50))] | None = None
    sms_fold_typography: Annotated[bool, PlainValidator(parsers.flag)] = False
    twilio_base_url: Annotated[str, PlainValidator(parsers.base_url)] = "https://api.twilio.com"

    @property
    def database(self) -> str:
        """The database's URL, wherever it was set, with its password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.database_path}"

    @property
    def shown_database(self) -> str:
        """The same for everybody's eyes."""
        return parsers.without_secrets(self.database)

    @property
    def missing_for_email(self) -> Sequence[str]:
        """The settings whose absence disables e-mail."""
        return [] if self.smtp_host else ["SMTP_HOST"]

    @property
    def missing_for_sms(self) -> Sequence[str]:
        """The settings whose absence disables SMS."""
        return [name for name in rules.SMS_SETTINGS if getattr(self, name.lower()) is None]


class SandboxSettings(ServerSettings):
    """The same for `pinguin serve --sandbox`, which needs neither a token nor a provider."""

    checks: ClassVar[Sequence[rules.Rule]] = rules.SERVER


class ClientSettings(_Settings):
    """What the commands that speak to a running service need to know."""

    checks: ClassVar[Sequence[rules.Rule]] = rules.CLIENT

    grpc_server_addr: Annotated[Address, PlainValidator(parsers.server_address)] = Address(
        "localhost", 50051
    )
    grpc_server_tls: Annotated[bool, PlainValidator(parsers.flag)] = False
    grpc_server_ca_file: _Authorities | None = None
    grpc_client_cert_file: _File | None = None
    grpc_client_key_file: _File | None = None


def strangers() -> Sequence[str]:
    """List the variables that look like settings and are none, perhaps another program's."""
    return names.strangers(os.environ, _known_names())


def _known_names() -> set[str]:
    return _names(ServerSettings) | _names(ClientSettings)


def _names(model: type[BaseSettings]) -> set[str]:
    return {name.upper() for name in model.model_fields}


def _problems_of(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, detail['loc']))}: {detail.get('ctx', {}).get('error', detail['msg'])}"
        for detail in error.errors()
    ]
