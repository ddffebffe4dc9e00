"""The cable and the lock screen of a test phone: a proxy before the genuine adbd.

It can ask for an RSA key as a phone does, cut the link after so many bytes or at once, and
keep it cut for a while. Debian's adbd has no authentication; the phone's half of it is here.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, utils

PACKET = struct.Struct("<6I")
AUTH = 0x48545541
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3


@dataclass
class Lock:
    """How the phone treats keys.

    Attributes:
        known: Private keys (their public halves count) that it accepts at once.
        accept_after_s: When the dialog for a new key is accepted; None is never.
        asked: How often the dialog was shown.
    """

    known: tuple[Path, ...] = ()
    accept_after_s: float | None = None
    asked: int = 0

    def accepts(self, signature: bytes, token: bytes) -> bool:
        for path in self.known:
            private = serialization.load_pem_private_key(path.read_bytes(), None)
            with contextlib.suppress(InvalidSignature):
                private.public_key().verify(
                    signature, token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1())
                )
                return True
        return False


class Front:
    """Listens on a Unix socket and passes on to adbd's."""

    def __init__(self, path: Path, inner: Path, lock: Lock | None = None) -> None:
        self.path, self.inner, self.lock = path, inner, lock
        self.connections = 0
        self.cuts = 0
        self.bytes_to_phone = 0
        self.bytes_from_phone = 0
        self.delay_s = 0.0  # of every piece that passes, either way
        self._limits: list[tuple[str, int]] = []
        self._down_until = 0.0
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, down_s: float = 0.0) -> None:
        """Cut every connection; new ones fail for `down_s`."""
        with self._guard:
            self._down_until = time.monotonic() + down_s
            self.cuts += 1
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut_after(self, *, to_phone: int | None = None, from_phone: int | None = None) -> None:
        """Cut once so many more bytes have passed in a direction; may be called several times."""
        with self._guard:
            if to_phone is not None:
                self._limits.append(("to", self.bytes_to_phone + to_phone))
            if from_phone is not None:
                self._limits.append(("from", self.bytes_from_phone + from_phone))

    def close(self) -> None:
        self._listener.close()
        self.cut(1e9)

    def _accept(self) -> None:
        while True:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(outer,), daemon=True).start()

    def _serve(self, outer: socket.socket) -> None:
        inner = socket.socket(socket.AF_UNIX)
        with outer, inner, contextlib.suppress(OSError, EOFError):
            if time.monotonic() < self._down_until:
                return
            with self._guard:
                self._open |= {outer, inner}
            try:
                hello = self._packet(outer)
                if self.lock is not None and not self._authenticate(outer):
                    return
                inner.connect(str(self.inner))
                inner.sendall(hello)
                back = threading.Thread(
                    target=self._splice, args=(inner, outer, "from"), daemon=True
                )
                back.start()
                self._splice(outer, inner, "to")
                back.join()
            finally:
                with self._guard:
                    self._open -= {outer, inner}

    def _splice(self, source: socket.socket, target: socket.socket, way: str) -> None:
        try:
            while data := source.recv(1 << 17):
                if self.delay_s:
                    time.sleep(self.delay_s)
                data, cut = self._count(way, data)
                target.sendall(data)
                if cut:
                    self.cut(0.05)
        except OSError:
            pass
        finally:
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _count(self, way: str, data: bytes) -> tuple[bytes, bool]:
        """Bytes that still pass, and whether the link is cut behind them."""
        with self._guard:
            before = self.bytes_to_phone if way == "to" else self.bytes_from_phone
            due = [n for w, n in self._limits if w == way and n <= before + len(data)]
            cut = bool(due)
            if cut:
                first = min(due)
                self._limits.remove((way, first))
                data = data[: max(0, first - before)]
            if way == "to":
                self.bytes_to_phone += len(data)
            else:
                self.bytes_from_phone += len(data)
            return data, cut

    def _packet(self, link: socket.socket) -> bytes:
        head = self._exactly(link, PACKET.size)
        return head + self._exactly(link, PACKET.unpack(head)[3])

    @staticmethod
    def _exactly(link: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = link.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _authenticate(self, link: socket.socket) -> bool:
        lock = self.lock
        while True:
            token = secrets.token_bytes(20)
            head = PACKET.pack(AUTH, TOKEN, 0, 20, sum(token), AUTH ^ 0xFFFFFFFF)
            link.sendall(head + token)
            answer = self._packet(link)
            kind, body = PACKET.unpack_from(answer)[1], answer[PACKET.size :]
            if kind == SIGNATURE and lock.accepts(body, token):
                return True
            if kind == PUBLIC_KEY:
                lock.asked += 1
                if lock.accept_after_s is None:
                    link.recv(1)  # the dialog stays open until the other side gives up
                    return False
                time.sleep(lock.accept_after_s)
                return True
