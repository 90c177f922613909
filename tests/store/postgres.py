"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_server() -> Path | None:
    """Return the folder of the server's programs: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """Run a server that listens on a socket in a temporary folder; yield the URL of its database.

    The server refuses to run as root, so root starts it as another user.
    """
    user = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="flashtrace-pg-"))
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command, check=True, user=user, capture_output=True, cwd=folder, env={"PATH": os.defpath}
        )

    control = (str(programs / "pg_ctl"), "-D", str(data), "-w")
    settings = f"-k {folder} -c listen_addresses='' -c fsync=off -c full_page_writes=off"
    try:
        run(str(programs / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "-N")
        run(*control, "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
