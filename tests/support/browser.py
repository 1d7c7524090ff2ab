"""Pages as Chromium lays them out."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest


def run_script(directory: Path, body: str, script: str) -> str:
    """Load a page in Chromium, and return the value of a JavaScript expression as text.

    Tests are skipped without Chromium.

    Args:
      directory: directory for the page and the browser's profile.
      body: HTML of the page; frames may show local files.
      script: expression that is evaluated when everything is loaded.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no chromium on this machine")
    page = directory / "frame.html"
    page.write_text(
        f"{body}<script>onload = () => {{ document.body.textContent = String({script}) }}</script>"
    )
    done = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--allow-file-access-from-files", f"--user-data-dir={directory}/browser"),
            *("--virtual-time-budget=10000", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    content = re.search(r"<body>([^<]*)</body>", done.stdout)
    assert content, done.stdout[-500:] + done.stderr[-500:]
    return html.unescape(content[1])


def page_layout(directory: Path, page: Path, width: int) -> tuple[int, list[float]]:
    """Return the width of a page's content on a screen, and the widths of its plots, in pixels.

    Args:
      directory: directory for the browser's profile.
      page: HTML file.
      width: width of the screen in pixels.
    """
    text = run_script(
        directory,
        f'<iframe src="{page}" style="width:{width}px;height:9000px;border:0"></iframe>',
        "[frames[0].document.documentElement.scrollWidth, ...Array.from("
        "frames[0].document.querySelectorAll('.plot svg'), svg => svg.getBoundingClientRect().width)]",
    )
    content_width, *plots = map(float, text.split(","))
    return int(content_width), plots
