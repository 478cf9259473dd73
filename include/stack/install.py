"""Makes `.venv` from requirements.lock: the first thing `make` runs, by the machine's own Python with its standard library only.

What the machine lacks is named with the command that installs it, before anything is made. Nothing is done when the lock's hash
is the one that was installed last.
"""

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)


def main() -> int:
    """Install if needed; exit code 1 with one message when the machine lacks something or an installation fails."""
    venv, lock = ROOT / ".venv", ROOT / "requirements.lock"
    stamp = venv / ".installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text().strip() == wanted and (venv / "bin" / "python").exists():
        return 0
    problems = missing()
    if problems:
        sys.stderr.write("this machine lacks something:\n" + "".join(f"  {problem}\n" for problem in problems))
        return 1
    try:
        install(venv, lock)
    except subprocess.CalledProcessError as problem:
        sys.stderr.write(f"installation failed (exit code {problem.returncode}): {' '.join(map(str, problem.cmd))}\n")
        return 1
    stamp.write_text(wanted + "\n")
    return 0


def missing() -> "list[str]":
    """What must be there before anything can be installed, each with its apt line."""
    version = sys.version_info[:2]
    name = f"python{version[0]}.{version[1]}"
    sudo = "" if os.geteuid() == 0 else "sudo "
    found = []
    if not OLDEST <= version <= NEWEST:
        span = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
        found.append(f"Python {span} (this is {name}): {sudo}apt-get install python3.12-venv, then make PYTHON=python3.12 ...")
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            found.append(f"{name} has no module {module}: {sudo}apt-get install {name}-venv")
            break
    if not has_library("libgomp.so.1"):
        found.append(f"libgomp.so.1 (for LightGBM and scikit-learn): {sudo}apt-get install libgomp1")
    for program in ("git", "tail"):
        if shutil.which(program) is None:
            found.append(f"{program}: {sudo}apt-get install {'coreutils' if program == 'tail' else program}")
    if os.geteuid() == 0 and shutil.which("useradd") is None:
        found.append("useradd (PostgreSQL needs a user of its own under root): apt-get install passwd")
    return found


def has_library(name: str) -> bool:
    """Whether the dynamic loader finds `name`."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def install(venv: Path, lock: Path) -> None:
    """Make the environment and install exactly the lock into it: by uv, which takes seconds, else by pip."""
    python = venv / "bin" / "python"
    if not python.exists() or subprocess.run([str(python), "-c", "import pip"], check=False).returncode:
        print(f"making {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    print("installing requirements.lock (a few minutes on the first time)", flush=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    if subprocess.run([*pip, "uv"], check=False).returncode == 0:
        uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python), "--quiet", "-r", str(lock)]
        if subprocess.run(uv, check=False).returncode == 0:
            return
        print("uv did not succeed; trying pip", flush=True)
    subprocess.run([*pip, "-r", str(lock)], check=True)


if __name__ == "__main__":
    sys.exit(main())
