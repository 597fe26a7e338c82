# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small certificate authority, made with openssl and living as long as the lab."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .shell import run
from .state import write_private


@dataclass(frozen=True)
class Authority:
    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.certificate.exists():
            self._key("ca")
            # Python 3.13 and newer refuse an authority that does not say what it is for.
            usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
            new: list[str | Path] = [
                "openssl",
                "req",
                "-x509",
                "-new",
                "-key",
                self.folder / "ca.key",
                "-subj",
                "/CN=pi-lab",
                "-days",
                "30",
            ]
            run([*new, *usage, "-out", self.certificate])

    def signing_key(self, name: str) -> None:
        """A bare RSA pair, for what is signed without a certificate."""
        if not (self.folder / f"{name}.key").exists():
            run(["openssl", "genrsa", "-out", self.folder / f"{name}.key", "2048"])
            run(["openssl", "rsa", "-in", self.folder / f"{name}.key", "-pubout", "-out", self.folder / f"{name}.pub"])

    def issue(self, name: str, subject: str, names: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """(certificate, key) for a subject, good for a client and, with alternative names, for a server."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists():
            return certificate, key
        self._key(name)
        request = run(["openssl", "req", "-new", "-key", key, "-subj", subject]).stdout
        extensions = "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
        extensions += "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        if names:
            extensions += f"subjectAltName={','.join(names)}\n"
        write_private(self.folder / f"{name}.ext", extensions)
        serial = f"0x{sum(map(ord, name)) + len(list(self.folder.glob('*.crt'))) * 65536:x}"
        signed = run(
            [
                "openssl",
                "x509",
                "-req",
                "-CA",
                self.certificate,
                "-CAkey",
                self.folder / "ca.key",
                "-set_serial",
                serial,
                "-days",
                "30",
                "-extfile",
                self.folder / f"{name}.ext",
            ],
            stdin=request,
        )
        write_private(certificate, signed.stdout)
        return certificate, key

    def _key(self, name: str) -> None:
        made = run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"])
        write_private(self.folder / f"{name}.key", made.stdout)
