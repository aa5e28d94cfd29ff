"""What a command's options say of who calls, and what they refuse."""

from pathlib import Path

import pytest
from tests.support.pki import Authority

from fractal_lba.access import OPTIONS, access_of
from fractal_lba.protocol import ContractError


def test_without_options_nobody_in_particular_calls() -> None:
    access = access_of()
    assert (access.token, access.tls, access.headers(), access.is_somebody) == (
        None,
        None,
        {},
        False,
    )


def test_each_option_is_a_parameter() -> None:
    names = {flag.removeprefix("--").replace("-", "_"): None for flag in OPTIONS}
    assert access_of(**names).tls is None


def test_a_token_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("swordfish\n")
    access = access_of(token_file=path)
    assert access.headers() == {"Authorization": "Bearer swordfish"}
    assert access.is_somebody


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"two words", b"two\nlines", b"\xff", b"x" * 8_001]
)
def test_a_file_that_holds_no_token_is_refused_and_not_quoted(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"expected (one|a file with a) token") as caught:
        access_of(token_file=path)
    assert "two" not in str(caught.value).replace(str(path), "")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for option in ("token_file", "ca", "cert"):
        with pytest.raises(ContractError, match="gone"):
            access_of(**{option: tmp_path / "gone"})


def test_a_key_needs_its_certificate(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="client key: expected a certificate beside it"):
        access_of(key=tmp_path / "key")


def test_a_certificate_without_its_key_says_how_to_name_the_key(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "pki").issue("acme")
    with pytest.raises(ContractError) as caught:
        access_of(cert=pair.certificate)
    assert str(caught.value) == (
        f"{pair.certificate}: expected a PEM certificate and its private key, got no private key:"
        " name its file with --key"
    )
    both = tmp_path / "both.pem"
    both.write_text(pair.certificate.read_text() + pair.key.read_text())
    assert access_of(cert=both).has_certificate


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    acme, globex = authority.issue("acme"), authority.issue("globex")
    with pytest.raises(ContractError) as caught:
        access_of(cert=acme.certificate, key=globex.key)
    assert str(caught.value).startswith(f"{acme.certificate} with the key {globex.key}: expected")
