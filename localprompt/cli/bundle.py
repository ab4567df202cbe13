"""``localprompt models bundle`` and ``localprompt bundle``: both sides of an air gap."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.help import Commands
from localprompt.cli.output import console
from localprompt.errors import InputError
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.bundling.wheels import WheelsWanted

app = Commands()
EXAMPLES = (
    "localprompt bundle verify kit.tar",
    "localprompt bundle verify kit.tar --key owner.pem --require-signature",
    "localprompt bundle install kit.tar",
)

BundleArgument = Annotated[
    Path, typer.Argument(metavar="FILE|FOLDER", help="The archive, or where it was unpacked.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="A public key (PEM); it must have signed it."),
]

RequireOption = Annotated[
    bool, typer.Option("--require-signature", help="Fail unless --key's owner has signed it.")
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BundleFlags:
    """What goes into a bundle."""

    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The archive to write.")
    ] = Path("kit.tar")
    prompts: Annotated[
        list[Path] | None,
        typer.Option("--prompts", metavar="FOLDER|FILE", help="Prompts to include; repeatable."),
    ] = None
    suites: Annotated[
        list[Path] | None,
        typer.Option(
            "--suites", metavar="FOLDER|FILE", help="Suites and the files they use; repeatable."
        ),
    ] = None
    with_wheels: Annotated[
        bool,
        typer.Option("--with-wheels", help="Include localprompt itself and everything it needs."),
    ] = False
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            "--cpu",
            metavar="LEVEL",
            help="Builds of llama.cpp: native, x86-64-v3, x86-64-v2, …; by default all.",
        ),
    ] = None
    llama_wheel: Annotated[
        list[Path] | None,
        typer.Option(
            "--llama-wheel", metavar="FILE", help="Use this wheel instead of building one."
        ),
    ] = None
    python: Annotated[
        str | None, typer.Option("--python", metavar="3.N", help="By default the one running.")
    ] = None
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform", metavar="TAG", help="As pip names it; by default this machine's."
        ),
    ] = None
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="FILE", help="Sign with this Ed25519 private key (PEM)."),
    ] = None
    license_text: Annotated[
        list[str] | None,
        typer.Option("--license-text", metavar="NAME=FILE", help="The text of a model's licence."),
    ] = None


def create(models: list[str], flags: BundleFlags) -> None:
    """Write a bundle and say what it is; its sha256 goes to stdout as sha256sum has it."""
    from localprompt.bundling.make import Wanted, make
    from localprompt.views.bundle import made_note
    from localprompt.views.messages import print_note, print_warnings
    from localprompt.views.progress import bytes_progress

    wanted = Wanted(
        output=flags.output,
        models=tuple(models),
        prompts=tuple(flags.prompts or ()),
        suites=tuple(flags.suites or ()),
        wheels=_wheels_wanted(flags),
        sign_with=flags.sign,
        licence_texts=tuple(flags.license_text or ()),
    )
    with bytes_progress() as progress:
        made = make(wanted, progress=progress, say=print_note)
    print_warnings(made.warnings)
    print_note(made_note(made.path, made.manifest, made.size_bytes))
    data_out().write(f"{made.sha256}  {flags.output}\n")


def _wheels_wanted(flags: BundleFlags) -> WheelsWanted | None:
    from localprompt.bundling.target import wanted_target
    from localprompt.bundling.wheels import WheelsWanted

    about_wheels = {
        "--cpu": flags.cpu,
        "--llama-wheel": flags.llama_wheel,
        "--python": flags.python,
        "--platform": flags.platform,
    }
    if not flags.with_wheels:
        if given := next((name for name, value in about_wheels.items() if value), None):
            raise InputError(
                "this option needs a bundle with wheels",
                where=given,
                next_step="add --with-wheels",
            )
        return None
    return WheelsWanted(
        wanted_target(flags.python, flags.platform or ()),
        tuple(flags.cpu or ()),
        tuple(flags.llama_wheel or ()),
    )


@app.command(
    "verify",
    examples=(
        "localprompt bundle verify kit.tar",
        "localprompt bundle verify kit.tar --key owner.pem --require-signature",
        "localprompt bundle verify ./unpacked",
    ),
)
def verify(
    bundle: BundleArgument, key: KeyOption = None, require_signature: RequireOption = False
) -> None:
    """Read a bundle to its end and compare everything with its manifest.

    Exit code 0: intact, and signed by --key's owner where that is asked for; 3: it is not.
    """
    from localprompt.bundling.check import read_bundle
    from localprompt.views.bundle import print_bundle
    from localprompt.views.messages import print_note
    from localprompt.views.progress import bytes_progress

    _check_key(key, require_signature)
    with bytes_progress() as progress:
        opened = read_bundle(bundle, key=key, progress=progress)
    print_bundle(opened.manifest, opened.signed, opened.signer, console())
    if opened.signed and key is None:
        print_note("the signature was not checked; do so with --key, or insist on it with")
        print_note("  --require-signature: anybody can write a signature of their own")


@app.command(
    "install",
    examples=(
        "localprompt bundle install kit.tar",
        "localprompt bundle install kit.tar --key owner.pem --require-signature",
        "localprompt bundle install ./unpacked --accept-license",
    ),
)
def install(
    bundle: BundleArgument,
    key: KeyOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite files in LOCALPROMPT_HOME that differ.")
    ] = False,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the models' licences.")
    ] = False,
    require_signature: RequireOption = False,
    system: Annotated[
        bool,
        typer.Option("--system", help="Install for all users; needs write access there."),
    ] = False,
) -> None:
    """Install a bundle's models, prompts and suites; its wheels are for its install.sh."""
    from localprompt.bundling.install import install as take_over
    from localprompt.files import for_all_users
    from localprompt.views.bundle import installed_note
    from localprompt.views.messages import print_note
    from localprompt.views.progress import bytes_progress

    _check_key(key, require_signature)
    with for_all_users(system), bytes_progress() as progress:
        done = take_over(
            bundle, key=key, replace=replace, accept_license=accept_license, progress=progress
        )
    print_note(installed_note(done.models, done.new, done.unchanged))


def _check_key(key: Path | None, required: bool) -> None:
    """
    Raises:
        InputError: a signature is insisted on, and nothing is given to check it with.
    """
    if required and key is None:
        raise InputError(
            "a signature cannot be checked without its owner's key",
            where="--require-signature",
            expected="--key FILE",
        )
