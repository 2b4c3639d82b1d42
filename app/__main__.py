"""`python -m app` opens the studio in the browser."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence

from vlmrb.errors import VlmrbError

EXIT_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the studio until Ctrl-C. Runs continue without it.

    Returns:
        The exit status: 0 on success, 2 after an error message.
    """
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        _serve(arguments)
    except VlmrbError as error:
        print(f"app: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:  # how a studio is ended
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="VLM-RB Studio: launch training, watch it, browse scored clips, change prompts and λ, compare methods.",
        epilog="Runs continue after the studio is closed. For access from other machines, set VLMRB_STUDIO_PASSWORD "
        "(and VLMRB_STUDIO_USER), give --host, and put HTTPS in front of it. VLMRB_STUDIO_MODULES names the modules that the "
        "launch form may import for environments of your own.",
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--store", metavar="URL", help="database: a file or a URL (default: $VLMRB_STORE, else a file in your data folder)"
    )
    which.add_argument("--demo", action="store_true", help="open a store with finished runs, to look around in")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    parser.add_argument("--port", type=_port, default=7860, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--root-path",
        metavar="PATH",
        default="",
        help="where a reverse proxy serves the studio: a path such as /vlmrb, or an address such as https://lab.example/vlmrb",
    )
    parser.add_argument("--no-open", dest="open", action="store_false", help="do not open a browser")
    return parser


def _serve(arguments: argparse.Namespace) -> None:
    from app.address import listen, parse_address
    from app.environment import certificate_problems, no_proxies
    from app.gate import login_for
    from vlmrb.memory import share_memory_among_threads

    share_memory_among_threads()
    address = parse_address(arguments.root_path)
    login = login_for(arguments.host)
    for problem in certificate_problems():
        print(f"app: {problem}", file=sys.stderr)

    with no_proxies():
        from app.studio import Studio

    listening = listen(arguments.host, arguments.port)
    studio = Studio.open(_store_url(arguments))
    with no_proxies():
        from app.server import make_server, serve  # with Gradio, after what may be wrong with port and store has been told
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{'localhost' if shown in ('0.0.0.0', '[::]') else shown}:{port}/"

    def announce() -> None:
        print(f"VLM-RB Studio: {url}  (store: {studio.store.name}; Ctrl-C stops the studio, runs continue)", flush=True)
        if arguments.open:
            webbrowser.open(url)

    try:
        serve(make_server(studio, host=arguments.host, login=login, address=address), listening, on_ready=announce)
    finally:
        studio.close()


def _store_url(arguments: argparse.Namespace) -> str | None:
    if not arguments.demo:
        return arguments.store  # type: ignore[no-any-return]
    from app.demo import demo_store

    return str(demo_store())


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return port


if __name__ == "__main__":
    sys.exit(main())
