"""The command line: `python -m gc_utils run`, `list` and the rest."""

from __future__ import annotations

import sys

try:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import TYPE_CHECKING

    import gc_utils
    from gc_utils.errors import DiskFull, UserError
except KeyboardInterrupt:  # Ctrl-C comes early on a slow disk
    sys.exit(130)

if TYPE_CHECKING:
    from gc_utils.pipeline import Record

EXAMPLES = """\
examples:
  python -m gc_utils run                                 the default preset, into runs/demo
  python -m gc_utils run --preset real                   a real network, trained on ImageNet
  python -m gc_utils run --preset smoke --output out     small and quick, into out/
  python -m gc_utils run -p group D8 -p layer mixed3a    the default preset, two things changed
  python -m gc_utils run -p images folder:holiday        your own photographs
  python -m gc_utils run -p model timm:resnet18 -p layer layer2       a network of timm
  python -m gc_utils run -p model nets:make -p layer body.2           your own, see below
  python -m gc_utils run --only 03 04                    two notebooks, from what is there
  python -m gc_utils list                                presets, notebooks, their parameters
  python -m gc_utils gallery                             a page of all features of runs/demo
  python -m gc_utils weights                             weights and where they are kept
  python -m gc_utils readme                              README and docs/claims.md from runs/demo
  python -m gc_utils publish runs/demo                   the run's outputs into the notebooks
  python -m gc_utils bench --size full                   how fast it is on this machine

A run that was stopped goes on from there when the same command is given again; notebooks whose
code, parameters and inputs have not changed are not run a second time.

-p model MODULE:FACTORY imports MODULE from the folder that the command runs in and executes its
function FACTORY, as Python would: name only code that you trust.

exit codes: 0 done, 1 a notebook failed, 2 a mistake in what was asked, 130 interrupted
"""


README_EXAMPLES = """\
examples:
  python -m gc_utils readme                                       what runs/demo found
  python -m gc_utils readme --real runs/real                      and a real network beside it
  python -m gc_utils readme --real runs/in --figures runs/real    numbers of imagenet_samples, and
                                                                  figures of bundled photographs

Figures of images that are not ours to pass on are left out, and named.
"""


PUBLISH_EXAMPLES = """\
examples:
  python -m gc_utils publish runs/demo                        what this run has, into notebooks/
  python -m gc_utils publish runs/real --only 01 02 03 04 05  these from one run,
  python -m gc_utils publish runs/demo --only 06 07           and others from another
  python -m gc_utils publish --clear                          out with the outputs of old code
  python -m gc_utils publish --clear --only 05                out with those of 05, old or not

The notebooks keep their cells. A notebook whose code is not the one that ran, or that is not up to
date in its run, is refused: `python -m gc_utils run` runs it again. So is a run on images that are
not ours to pass on, because its notebooks show them.
"""


BENCH_EXAMPLES = """\
rows: extraction, training (orbit encoder), identity (the other encoder), refining, distances,
      large (D32, 3,840 features; size full only)

examples:
  python -m gc_utils bench                              all rows, small: two minutes on two cores
  python -m gc_utils bench --only distances --size full
  python -m gc_utils bench --size full --json rows.json
  OMP_NUM_THREADS=1 python -m gc_utils bench            with one thread

Ratios are medians over repeats, with the smallest and the largest. Let nothing else run meanwhile.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    plain = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="python -m gc_utils",
        description="Run the notebooks of the group-crosscoder companion, one after the other.",
        epilog=EXAMPLES,
        formatter_class=plain,
    )
    top.add_argument("--version", action="version", version=gc_utils.__version__)
    commands = top.add_subparsers(
        dest="command",
        required=True,
        metavar="{run,list,gallery,weights,bench,readme,publish,badges}",
    )

    run = commands.add_parser(
        "run",
        help="execute the notebooks into a run folder",
        description="Execute the notebooks in order into a folder, with a report.html to read.",
        epilog=EXAMPLES,
        formatter_class=plain,
    )
    run.add_argument(
        "--preset", default="demo", metavar="NAME", help="one that `list` shows (default demo)"
    )
    run.add_argument("--output", metavar="DIR", help="the run folder (default runs/PRESET)")
    run.add_argument(
        "--only", nargs="+", default=[], metavar="NN", help="run only these notebooks, as 03 04"
    )
    run.add_argument(
        "--with-needed", action="store_true", help="and those that the notebooks of --only need"
    )
    run.add_argument(
        *("-p", "--parameter"),
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter that `list` shows; may be given many times",
    )
    run.add_argument(
        "--weights-file",
        metavar="PATH",
        help="a copy of the weights at hand, instead of downloading it; for bvlc_googlenet the "
        "folder with its files (as -p weights_file PATH)",
    )
    run.add_argument("--force", action="store_true", help="run also what is up to date")

    listing = commands.add_parser("list", help="show presets, notebooks and their parameters")
    readme = commands.add_parser(
        "readme",
        help="rewrite what the repository says of a run",
        description="Rewrite what README.md says of results, docs/claims.md and its figures.\n\n"
        "The page has two columns: the embedded default (--run) and a real network (--real).\n"
        "The second is kept in docs/real_findings.json, and is taken from there without --real.",
        epilog=README_EXAMPLES,
        formatter_class=plain,
    )
    readme.add_argument(
        "--run", metavar="DIR", help="a run on the embedded default (default runs/demo)"
    )
    readme.add_argument(
        "--real", metavar="DIR", help="a run on a real network, as of --preset real"
    )
    readme.add_argument(
        "--figures",
        metavar="DIR",
        help="a run on the real network whose figures are shown; its images have to be photos or "
        "scenes, which anybody may pass on (default: --real, if its images are)",
    )
    readme.add_argument("--root", metavar="DIR", default=".", help="the repository (default: here)")
    publish = commands.add_parser(
        "publish",
        help="write a run's outputs into the repository's notebooks",
        description="Write the outputs of a run's notebooks into the repository's, so that they "
        "are seen on GitHub.\nLeft out is what is only of one machine or one moment: the run's "
        "parameters and folder, times,\nprogress bars, widgets. Figures get smaller until a "
        "notebook has less than 1 MB.",
        epilog=PUBLISH_EXAMPLES,
        formatter_class=plain,
    )
    publish.add_argument("run", nargs="?", metavar="RUN", help="the run folder (default runs/demo)")
    publish.add_argument(
        "--only", nargs="+", default=[], metavar="NN", help="publish only these notebooks"
    )
    publish.add_argument(
        "--clear", action="store_true", help="take out outputs that the code as it is did not make"
    )
    gallery = commands.add_parser(
        "gallery",
        help="write a page of all features of a run",
        description="Write a folder with every feature of a run: its patches, its full turn, and "
        "who is like it.\nA browser opens its index.html from disk; 01 to 04 have to be done.",
        formatter_class=plain,
    )
    gallery.add_argument("run", nargs="?", metavar="RUN", help="the run folder (default runs/demo)")
    where = gallery.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="DIR", help="where it goes (default RUN/gallery)")
    where.add_argument(
        "--site",
        metavar="DIR",
        help="make it a site that anybody may be shown, as docs: DIR/gallery and DIR/index.html; "
        "the run's images have to be photos or scenes",
    )
    gallery.add_argument(
        "--features",
        type=int,
        metavar="N",
        help="only the N features that tell most (default: all that fire)",
    )
    badges = commands.add_parser(
        "badges",
        help="write where the repository is on GitHub",
        description="Write Colab badges into README.md and the notebooks, and the repository's "
        "address into\nthe notebooks' first cell, which installs the package from there.\nWithout "
        "an address: give every notebook the first cell that notebooks/_first_cell.py has.",
        formatter_class=plain,
    )
    badges.add_argument("repository", nargs="?", metavar="OWNER/REPO", help="as on GitHub")
    badges.add_argument("--branch", default="main", metavar="NAME", help="default main")
    badges.add_argument("--root", metavar="DIR", default=".", help="the repository (default: here)")
    for command in (run, listing, readme, publish, gallery):
        command.add_argument(
            "--notebooks", metavar="DIR", help="where the notebooks are (default: the repository's)"
        )
    bench = commands.add_parser(
        "bench",
        help="measure how fast it is on this machine",
        description="Measure tasks of this package against other ways of doing them, in turn, on "
        "the same inputs\nand threads, and compare the results.",
        epilog=BENCH_EXAMPLES,
        formatter_class=plain,
    )
    bench.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="only these rows, see below"
    )
    bench.add_argument(
        *("--size",), default="small", metavar="SIZE", help="small (default) or full"
    )
    bench.add_argument("--json", metavar="FILE", help="write the rows into a file, too")
    commands.add_parser("weights", help="show which weights there are and where they are kept")
    return top


_SHIELD = "\x1f"  # nobody types it, and an argument that begins with it is no option


def _shielded(arguments: Sequence[str]) -> list[str]:
    """Arguments in which argparse takes no value of a parameter for an option, as `-1e-3`.

    It knows `-1` and `-.5` as numbers only.
    """
    names = {i + 1 for i, word in enumerate(arguments) if word in ("-p", "--parameter")}
    return [
        _SHIELD + word if {i, i - 1} & names and word.startswith("-") else word
        for i, word in enumerate(arguments)
    ]


def main(arguments: Sequence[str] | None = None, records: Iterable[Record] | None = None) -> int:
    """Carry out a command line.

    Args:
        arguments: the words behind the program's name; None for those that were typed.
        records: what is known about the notebooks; None for the project's.

    Returns:
        Its exit code.
    """
    try:
        return _carry_out(arguments, records)
    except KeyboardInterrupt:  # also while modules are imported, which takes a second
        return 130


def _carry_out(arguments: Sequence[str] | None, records: Iterable[Record] | None) -> int:
    """As `main`; an interruption is raised."""
    from gc_utils.files import out_of_room, typed_path
    from gc_utils.pipeline import RECORDS, NotebookFailed, never_raise, say

    never_raise(sys.stdout, sys.stderr)
    options = parser().parse_args(_shielded(sys.argv[1:] if arguments is None else arguments))
    chapters = list(RECORDS if records is None else records)
    try:
        for name in ("output", "site", "root", "json"):
            if asked := getattr(options, name, None):
                setattr(options, name, str(typed_path(asked, f"--{name}")))
        commands = {"run": _run, "list": _list, "gallery": _gallery}
        commands |= {"weights": _weights, "readme": _readme, "badges": _badges}
        commands |= {"publish": _publish, "bench": _bench}
        commands[options.command](options, chapters)
    except DiskFull as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except UserError as mistake:
        say(sys.stderr, f"error: {mistake}")
        return 2
    except NotebookFailed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `list | head`
        sys.stderr.close()
    except OSError as failure:  # permissions, a folder where a file belongs: not the code's fault
        remedy = (
            "make room on the disk"
            if out_of_room(failure)
            else "see to it that this can be read and written, or delete it if nobody needs it"
        )
        say(sys.stderr, f"error: {failure}: {remedy}, and do it again.")
        return 1
    return 0


def _run(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.pipeline import find_notebooks, run
    from gc_utils.ranks import started_together
    from gc_utils.reporting import refresh_gallery, write_report

    if (count := started_together()) > 1:
        raise UserError(
            f"torchrun has started {count} processes, and each would run every notebook: start "
            "`run` without torchrun. docs/many_machines.md says how several processes extract and "
            "train for a run."
        )
    parameters = {name: value.removeprefix(_SHIELD) for name, value in options.parameter}
    if options.weights_file == "":
        raise UserError("--weights-file is empty: name a file or folder, or leave it out.")
    if options.weights_file:
        parameters["weights_file"] = options.weights_file
    run_dir = run(
        options.preset,
        options.output,
        options.only,
        parameters,
        options.force,
        needed=options.with_needed,
        notebooks=options.notebooks,
        records=records,
        finish=write_report,
    )
    try:
        page = refresh_gallery(run_dir)
    except UserError as mistake:  # the notebooks are done all the same
        print(f"no gallery: {mistake}", file=sys.stderr)
        return
    if page:
        write_report(run_dir, find_notebooks(options.notebooks, records))  # with a link to it
        print(f"Gallery: {page}")


def _gallery(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.files import find_run
    from gc_utils.pipeline import find_notebooks
    from gc_utils.pipeline.notebooks import default_output
    from gc_utils.pipeline.presets import DEFAULT_PRESET
    from gc_utils.reporting import write_gallery, write_site

    run_dir = find_run(
        options.run or default_output(DEFAULT_PRESET), remedy="name a run that exists"
    )
    if options.site is None:
        page = write_gallery(run_dir, options.output, features=options.features)
    else:
        chapters = find_notebooks(options.notebooks, records)
        page = write_site(run_dir, options.site, chapters, features=options.features)
    print(f"Gallery: {page}")


def _publish(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.files import find_run
    from gc_utils.pipeline import find_notebooks
    from gc_utils.pipeline.notebooks import PACKAGED, default_output
    from gc_utils.pipeline.presets import DEFAULT_PRESET
    from gc_utils.reporting.publish import clear, publish

    notebooks = find_notebooks(options.notebooks, records)
    if notebooks[0].path.parent == PACKAGED:
        raise UserError(
            "no notebooks/ here to publish in: run this in a copy of the repository, or name its "
            "notebooks with --notebooks DIR."
        )
    if options.clear:
        if options.run is not None:
            raise UserError("--clear takes outputs out, and no run: leave the run folder away.")
        for path in clear(notebooks, options.only):
            print(f"without outputs: {path}")
        return
    asked = default_output(DEFAULT_PRESET) if options.run is None else options.run
    if asked == "":
        raise UserError(
            "the run folder's name is empty: name a run, or leave it out for runs/demo."
        )
    done = publish(find_run(asked, remedy="name a run that exists"), notebooks, options.only)
    for path in done.written:
        print(f"{path} ({path.stat().st_size // 1000} kB)")
    for note in done.notes:
        print(note)


def _badges(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.reporting import write_badges

    for path in write_badges(options.root, options.repository, options.branch):
        print(path)


def _readme(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.files import find_run
    from gc_utils.pipeline import find_notebooks
    from gc_utils.pipeline.notebooks import default_output
    from gc_utils.pipeline.presets import DEFAULT_PRESET
    from gc_utils.reporting import update_readme

    runs = {
        "run": default_output(DEFAULT_PRESET) if options.run is None else options.run,
        "real": options.real,
        "figures": options.figures,
    }
    for name, asked in runs.items():
        if asked == "":
            instead = " for runs/demo" if name == "run" else ""
            raise UserError(
                f"--{name} is empty: name a run folder, or leave --{name} out{instead}."
            )
        if asked is not None:
            runs[name] = find_run(asked, remedy=f"name a run that exists with --{name}")
    updated = update_readme(
        options.root,
        runs["run"],
        find_notebooks(options.notebooks, records),
        runs["real"],
        runs["figures"],
    )
    for path in updated.written:
        print(path)
    for path in updated.left_out:
        print(f"left out, as its images may not be ours to pass on: {path}")


def _list(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.pipeline import DEFAULT_PRESET, PRESETS, find_notebooks, preset_values

    notebooks = find_notebooks(options.notebooks, records)  # before anything is printed
    print("Presets (python -m gc_utils run --preset NAME)\n")
    for name, preset in PRESETS.items():
        mark = " (default)" if name == DEFAULT_PRESET else ""
        print(f"  {name}{mark}: {preset.about}")
        values = preset_values(name, records)
        print("    " + ", ".join(f"{key} {value}" for key, value in values.items()))
    print("\nNotebooks, and what -p NAME VALUE can set in them")
    for notebook in notebooks:
        print(f"\n  {notebook.name}: {notebook.title}")
        for name, parameter in notebook.parameters.items():
            if name != "run_dir":
                start = f"    {name} = {parameter.default!r}"
                print(f"{start:<36}  {parameter.help}".rstrip())


def _weights(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.models import available_weights

    for row in available_weights():
        print(f"{row.model}: {row.weights} ({row.status})")
        told = {"file": row.path, "checksum": row.checksum, "from": row.source}
        for label, text in {**told, "licence": row.licence}.items():
            if text:
                print(f"  {label + ':':<10}{text}")


def _bench(options: argparse.Namespace, records: list[Record]) -> None:
    from gc_utils.benchmarks import ROWS, SIZES, describe_machine, run_rows
    from gc_utils.errors import choose
    from gc_utils.files import write_json

    choose(options.size, SIZES, "size")
    for name in options.only:
        choose(name, list(ROWS), "benchmark")
    machine = describe_machine()
    for label, text in machine.items():
        print(f"{label + ':':<19}{text}")
    rows = []
    for row in run_rows(options.only, options.size):
        rows.append(row)
        print(
            f"\n{row.name}\n"
            f"  {row.ratio:.1f} times as fast ({row.low:.1f} to {row.high:.1f}) as {row.other}\n"
            f"  {row.ours:,.4g} and {row.others:,.4g} {row.unit}/s\n"
            f"  {row.measure}: {row.agreement:.2g}" + (f"\n  {row.note}" if row.note else ""),
            flush=True,
        )
        if options.json:  # after every row: the rest may be interrupted
            write_json(options.json, {"machine": machine, "rows": [r.as_dict() for r in rows]})


if __name__ == "__main__":
    sys.exit(main())
