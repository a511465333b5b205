"""The page in a real Chromium, from an empty folder to an empty folder."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.report.test_browser import browser, gains, playing  # noqa: F401
from tests.serve.running import Running, song, tiny_model
from xumx.audio import read

NAME = '<img src=x onerror="alert(1)"> & 🎵.wav'


@pytest.fixture
def server(tmp_path):
    running = Running(tmp_path / "data", "--models", str(tiny_model(tmp_path)), "--model", "tiny")
    yield running
    running.end()


@pytest.fixture
def page(browser, server):  # noqa: F811
    """The page, where nothing complains but the browser about answers that are errors, as they should be."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda m: said.append(m.text) if "Failed to load resource" not in m.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda r: asked.append(r.url))
    page.goto(server.address)
    yield page
    context.close()
    assert not said, said
    foreign = [url for url in asked if not url.startswith((server.address, "data:", "blob:"))]
    assert not foreign, foreign


def drop(page: Page, name: str, data: bytes) -> None:
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def job(page: Page, name: str):
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name, exact=True))


def saved(page: Page, button, folder):
    with page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_whole_story(page, server, tmp_path):
    slow = {"timeout": 60_000}
    expect(page.get_by_text("None yet.")).to_be_visible()
    drop(page, NAME, song(tmp_path, 1).read_bytes())
    mine = job(page, NAME)
    expect(mine.get_by_text("0:01 · tiny")).to_be_visible(**slow)
    expect(mine.get_by_role("progressbar")).to_be_visible()
    page.locator("#files").set_input_files({"name": "text.mp3", "mimeType": "audio/mpeg", "buffer": b"text"})
    expect(job(page, "text.mp3").get_by_text("Is no audio file.")).to_be_visible(**slow)
    listen = mine.get_by_role("button", name="Listen")
    expect(listen).to_be_visible(**slow)

    listen.press("Enter")
    page.get_by_role("combobox", name="Speed").select_option("50 %")  # by scripts that the policy allows
    page.get_by_role("button", name="Play", exact=True).click()
    playing(page, 0.1)
    page.get_by_role("button", name="Solo vocals").click()
    page.get_by_role("slider", name="Volume of vocals").fill("0.5")
    assert gains(page) == [0, 0, 0.25, 0]
    stem = saved(page, page.get_by_role("link", name="Download vocals.wav"), tmp_path)
    mix = saved(page, page.get_by_role("button", name="Download this mix"), tmp_path)
    assert stem.name.endswith(" - vocals.wav") and mix.name.endswith(" - mix.wav")
    assert np.abs(read(mix)[0] - read(stem)[0] / 4).max() < 2**-14
    assert saved(page, mine.get_by_role("link", name="zip"), tmp_path).stat().st_size > 4 * 44100 * 4
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 800})

    page.reload()
    expect(mine.get_by_role("button", name="Listen")).to_be_visible()
    expect(job(page, "text.mp3")).to_have_count(0)
    page.get_by_text("More choices").click()
    page.get_by_label("Chunk, s").fill("1")
    page.get_by_role("combobox", name=re.compile("^Format")).select_option("flac")
    page.get_by_role("combobox", name=re.compile("^Stems")).select_option("two")
    page.locator("#files").set_input_files(song(tmp_path, 25, seed=1, name="long.wav"))
    long = job(page, "long.wav")
    page.wait_for_selector("text=/^Separating, 0:.. of 0:25/", **slow)  # which looks at every frame
    server.kill()
    expect(page.get_by_role("alert").first).to_contain_text("does not answer")
    server.start("--port", str(server.port))
    expect(page.get_by_role("alert").first).to_be_hidden(**slow)
    expect(long.get_by_role("button", name="Listen")).to_be_visible(**slow)
    assert server.client.jobs()[1]["stems"] == ["vocals", "no_vocals"]
    assert [job["options"].get("format") for job in server.client.jobs()] == [None, "flac"]

    for name in (NAME, "long.wav"):
        job(page, name).get_by_role("button", name="Remove").click()
        expect(job(page, name)).to_have_count(0)
    expect(page.get_by_text("None yet.")).to_be_visible()
    for _ in range(100):  # the page tells it first
        if not (left := list((server.folder / "jobs").iterdir())):
            break
        page.wait_for_timeout(100)
    assert not left
