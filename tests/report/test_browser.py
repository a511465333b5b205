"""The page in a real Chromium, opened from disk."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest
from playwright.sync_api import Error, Page, expect, sync_playwright

from tests.networks import music
from tests.report.songs import make_stems, write
from xumx import report
from xumx.audio import read

NAMES = ("bass", "drums", "vocals", "other")
SECONDS = 21
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    programs = [os.environ.get("CHROMIUM"), *map(shutil.which, PROGRAMS)]
    with sync_playwright() as playwright:
        for program in (*filter(None, programs), None):  # None is Playwright's own
            with contextlib.suppress(Error):
                browser = playwright.chromium.launch(executable_path=program, args=["--mute-audio"])
                yield browser
                browser.close()
                return
    pytest.fail("no Chromium runs here: sh tools/need_chromium.sh python installs one or says how", False)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """A song of three pieces, and its page: what is in its folder, and their paths."""
    folder = tmp_path_factory.mktemp("song #1")
    mix, stems = make_stems(folder, SECONDS, NAMES)
    path = report.write(folder, "A song", mix, stems, {"vocals": {"SDR": 6.25}})
    return path, mix, stems


@pytest.fixture()
def visit(browser):
    """Opens a page, and at the end looks whether it has asked for anything or complained."""
    contexts, asked, said = [], [], []

    def visit(path: Path, **options) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        url = "file://" + quote(str(path))
        page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("data:", url)) else None)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not asked, asked
    assert not said, said


@pytest.fixture()
def page(visit, song):
    return visit(song[0])


def until(page: Page, condition: str) -> None:
    """Not ``page.wait_for_function``, which the page's content security policy forbids."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def playing(page: Page, after: float = 0.0) -> None:
    until(page, f"xumxPlayer.position > {after} && xumxPlayer.context.state === 'running'")


def gains(page: Page) -> list[float]:
    """The gains of the tracks, when they have settled."""
    page.wait_for_timeout(150)
    return [round(gain, 2) for gain in page.evaluate("xumxPlayer.gains.map((gain) => gain.gain.value)")]


def loudness(page: Page) -> list[float]:
    """What comes out of each track at this moment, as the root of its mean square."""
    page.wait_for_timeout(150)
    return page.evaluate("""() => Promise.all(xumxPlayer.gains.map(async (gain) => {
        const analyser = xumxPlayer.context.createAnalyser(), wave = new Float32Array(2048);
        gain.connect(analyser);
        await new Promise((done) => setTimeout(done, 200));
        analyser.getFloatTimeDomainData(wave);
        gain.disconnect(analyser);
        return Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
    }))""")


def rendered(page: Page, change: str = "", speed: float = 1.0) -> np.ndarray:
    """All that the player sends to the speakers, (samples, 2), on a clock that need not wait."""
    left_right = page.evaluate(
        """async () => {
            const { tracks, seconds, piece, margin } = xumxPlayer;
            const context = new OfflineAudioContext(2, Math.round((seconds / SPEED + 0.1) * 44100), 44100);
            const copies = tracks.map((track) => ({ ...track }));
            const player = new Player(copies, { seconds, piece, margin }, context);
            player.speed = SPEED;
            CHANGE;
            player.mix(0);
            for (let k = 0; k < player.count; k++) {
                const from = k * piece, to = Math.min(from + piece, seconds);
                player.begin(k, await player.prepared(k), { from, to, when: 0.1 + from / player.speed });
            }
            const audio = await context.startRendering();
            return [0, 1].map((channel) => {
                const bytes = new Uint8Array(audio.getChannelData(channel).buffer);
                let text = "";
                for (let k = 0; k < bytes.length; k += 8192)
                    text += String.fromCharCode(...bytes.subarray(k, k + 8192));
                return btoa(text);
            });
        }""".replace("CHANGE", change).replace("SPEED", str(speed))
    )
    channels = [np.frombuffer(base64.b64decode(text), np.float32) for text in left_right]
    return np.stack(channels, axis=1)[4410:]


def test_it_plays_and_the_playhead_moves(page):
    expect(page).to_have_title("A song – xumx")
    expect(page.get_by_role("heading", name="A song")).to_be_visible()
    assert page.evaluate("xumxPlayer.context.state") == "suspended"
    head = page.locator(".stem .playhead").first
    before = head.bounding_box()["x"]
    page.get_by_role("button", name="Play").click()
    playing(page, 0.3)
    clock = page.evaluate("[xumxPlayer.context.currentTime, xumxPlayer.position]")
    page.wait_for_timeout(300)
    later = page.evaluate("[xumxPlayer.context.currentTime, xumxPlayer.position]")
    assert later[1] - clock[1] == pytest.approx(later[0] - clock[0], abs=1e-6) and later[1] > clock[1] + 0.2
    assert min(loudness(page)) > 1e-3
    assert head.bounding_box()["x"] > before + 5
    expect(page.get_by_role("status")).to_have_text("Playing")
    page.get_by_role("button", name="Pause").click()
    at = page.evaluate("xumxPlayer.position")
    page.wait_for_timeout(200)
    assert page.evaluate("xumxPlayer.position") == at > 0.5
    assert max(loudness(page)) == 0
    until(page, "xumxPlayer.context.state === 'suspended'")
    page.get_by_role("button", name="Play").click()
    playing(page, at + 0.1)


def test_what_it_plays_is_the_song(page, song):
    """All pieces of all stems in their places, without a seam: sample by sample beside the files."""
    _, mix, stems = song
    whole, drums, vocals = (read(path)[0] for path in (mix, stems["drums"], stems["vocals"]))
    for change, expected in (
        ("", whole),
        ("player.tracks[1].muted = true; player.volume = 0.5", (whole - drums) / 4),
        ("player.tracks[2].solo = true; player.tracks[2].volume = 0.5", vocals / 4),
    ):
        error = np.square(rendered(page, change) - expected).reshape(-1, 441 * 5, 2).mean(axis=(1, 2))
        assert error.mean() <= 0.005 * np.square(expected).mean(), change  # 0.03 a sample too late
        joins = [200 * k + near for k in (1, 2) for near in (-1, 0)]
        assert error[joins].max() <= 3 * error.mean(), change


def test_mute_solo_and_volume_act_on_the_sound(page):
    button = page.get_by_role("button", name="Play")
    button.click()
    playing(page)
    assert gains(page) == [1, 1, 1, 1]
    mute = page.get_by_role("button", name="Mute drums")
    mute.click()
    assert gains(page) == [1, 0, 1, 1]
    expect(mute).to_have_attribute("aria-pressed", "true")
    levels = loudness(page)
    assert levels[1] < 1e-4 < 1e-3 < levels[0]
    page.get_by_role("button", name="Solo vocals").click()
    page.get_by_role("button", name="Solo drums").click()
    assert gains(page) == [0, 1, 1, 0]  # solo wins over mute
    page.get_by_role("button", name="Solo drums").click()
    assert gains(page) == [0, 0, 1, 0]
    page.get_by_role("slider", name="Volume of vocals").fill("0.5")
    assert gains(page) == [0, 0, 0.25, 0]
    expect(page.get_by_role("slider", name="Volume of vocals")).to_have_attribute("aria-valuetext", "50 %")
    page.get_by_role("slider", name="Volume of everything").fill("0")
    page.wait_for_timeout(150)
    assert page.evaluate("xumxPlayer.master.gain.value") < 1e-3
    expect(page.get_by_role("button", name="All stems")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="All stems").click()
    assert gains(page) == [1, 1, 1, 1]
    expect(page.get_by_role("button", name="All stems")).to_have_attribute("aria-pressed", "true")
    assert [page.get_by_role("slider", name=f"Volume of {n}").input_value() for n in NAMES] == ["1"] * 4


def test_seeking(page):
    box = page.locator(".stem .pictures").nth(1).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + 0.5 * box["width"], middle)
    assert page.evaluate("xumxPlayer.position") == pytest.approx(0.5 * SECONDS, abs=0.05)
    page.get_by_role("button", name="Play").click()
    playing(page, 0.5 * SECONDS)
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    expect(page.locator("#now")).to_have_text("0:04")
    assert page.evaluate("xumxPlayer.position") > 0.5 * SECONDS, "it plays on until the mouse is up"
    page.mouse.up()
    until(page, f"xumxPlayer.position < {0.3 * SECONDS}")
    playing(page, 0.2 * SECONDS)
    assert max(loudness(page)) > 1e-3
    slider = page.get_by_role("slider", name="Position")
    slider.fill("20.5")  # near the end, where it stops and is ready to begin again
    expect(slider).to_have_attribute("aria-valuetext", "0:20 of 0:21")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert page.evaluate("xumxPlayer.position") == 0
    assert max(loudness(page)) == 0
    page.get_by_role("button", name="Loop").click()
    slider.fill("20.5")
    page.get_by_role("button", name="Play", exact=True).click()
    until(page, "xumxPlayer.playing && xumxPlayer.position < 5")  # it has begun again


def test_keys(page):
    page.keyboard.press("Space")
    playing(page)
    page.keyboard.press("ArrowRight")
    playing(page, 5)
    page.keyboard.press("2")
    page.keyboard.press("4")
    assert gains(page) == [1, 0, 1, 0]
    expect(page.get_by_role("status")).to_have_text("other muted")
    page.keyboard.press("4")
    page.keyboard.press("Shift+Digit1")
    assert gains(page) == [1, 0, 0, 0]
    page.keyboard.press("5")  # there is none
    page.keyboard.press("Control+3")  # the browser's
    assert gains(page) == [1, 0, 0, 0]
    page.keyboard.press("0")
    assert gains(page) == [1, 1, 1, 1]
    page.keyboard.press("Space")
    assert not page.evaluate("xumxPlayer.playing")
    page.keyboard.press("Home")
    assert page.evaluate("xumxPlayer.position") == 0
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("xumxPlayer.position") == 0
    page.keyboard.press("m")  # at no stem
    page.get_by_role("button", name="Solo vocals").focus()
    page.keyboard.press("s")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("m")
    assert page.evaluate("xumxPlayer.tracks.map(({ muted, solo }) => [muted, solo])") == [
        [False, False], [False, False], [True, True], [False, False],
    ]  # fmt: skip
    page.evaluate("document.activeElement.blur()")
    page.locator(".stem .pictures").nth(1).hover()
    page.keyboard.press("m")
    assert page.evaluate("xumxPlayer.tracks.map(({ muted }) => muted)") == [False, True, True, False]
    page.keyboard.press("Space")
    playing(page)
    page.keyboard.press("End")
    assert page.evaluate("[xumxPlayer.playing, xumxPlayer.position]") == [False, SECONDS]
    page.keyboard.press("Home")
    # A mouse leaves no focus behind: space still plays after a click on a button.
    page.get_by_role("button", name="Mute bass").click()
    page.keyboard.press("Space")
    assert page.evaluate("[xumxPlayer.playing, xumxPlayer.tracks[0].muted]") == [True, True]


def test_it_needs_no_mouse(page):
    """Tab reaches every control in order, each has a name and shows its focus, and keys work it."""
    names = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.ariaLabel ?? document.activeElement.textContent.trim(),"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        if name in names or page.evaluate("document.activeElement === document.body"):
            break
        names.append(name)
        assert outline == "solid", name
    stems = [(f"Mute {n}", f"Solo {n}", f"Download {n}.wav", f"Volume of {n}") for n in NAMES]
    part = ["The part begins here", "The part ends here", "Loop"]
    first = ["Play", "Position", *part, "Speed", "All stems", "Save", "Volume of everything"]
    assert names == [*first, *(n for s in stems for n in s)]
    page.get_by_role("button", name="Mute drums").focus()
    page.keyboard.press("Space")
    assert page.evaluate("[xumxPlayer.playing, xumxPlayer.tracks[1].muted]") == [False, True]
    page.keyboard.press("Enter")
    assert page.evaluate("xumxPlayer.tracks[1].muted") is False
    page.get_by_role("slider", name="Volume of drums").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("[xumxPlayer.position, xumxPlayer.tracks[1].volume]") == [0, 0.95]
    page.get_by_role("slider", name="Position").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("xumxPlayer.position") == 5


def test_a_part_again_and_again(page):
    """Without a gap: what is ordered begins where and when the last ends."""
    page.get_by_role("slider", name="Position").fill("12")
    page.keyboard.press("a")
    page.get_by_role("slider", name="Position").fill("9")
    page.get_by_role("button", name="The part ends here").click()  # before it begins: from the start, then
    assert page.evaluate("[xumxPlayer.part.from, xumxPlayer.part.to]") == [0, 9]
    page.get_by_role("slider", name="Position").fill("8.5")
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_have_text("Repeats 0:08 to 0:09")
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    until(page, "xumxPlayer.spans.length > 3 && xumxPlayer.position < 8.8")
    spans = page.evaluate("xumxPlayer.spans")
    assert {(span["from"], span["to"]) for span in spans} == {(8.5, 9)}
    assert np.diff([span["when"] for span in spans]) == pytest.approx(0.5, abs=1e-4)
    assert min(loudness(page)) > 1e-3
    box = page.locator(".stem .pictures").nth(1).bounding_box()
    x, y = box["x"], box["y"] + box["height"] / 2
    page.keyboard.down("Shift")
    page.mouse.move(x + 0.75 * box["width"], y)
    page.mouse.down()
    page.mouse.move(x + 0.25 * box["width"], y)
    page.mouse.up()
    page.keyboard.up("Shift")
    *part, at = page.evaluate("[xumxPlayer.part.from, xumxPlayer.part.to, xumxPlayer.position]")
    assert part == pytest.approx([SECONDS / 4, 3 * SECONDS / 4], abs=0.1) and part[0] <= at < part[1]
    page.keyboard.press("l")
    assert page.evaluate("xumxPlayer.loop") is False
    page.keyboard.press("a")
    page.keyboard.press("b")
    assert page.evaluate("[xumxPlayer.part.from, xumxPlayer.part.to]") == [0, SECONDS]


def test_speed_leaves_pitch_and_stems_in_step(visit, tmp_path):
    """Music in one stem and, upside down, in the other cancels; a tone of both stays one, without gaps."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(11 * 44100) / 44100)[:, None].astype(np.float32)
    tone[: 2 * 44100] = 0
    hidden = 0.5 * music(11, noise=0)
    mix = write(tmp_path / "song.wav", np.repeat(tone, 2, axis=1))
    halves = {
        name: write(tmp_path / f"{name}.wav", tone / 2 + sign * hidden)
        for name, sign in (("a", 1), ("b", -1))
    }
    page = visit(report.write(tmp_path, "A song", mix, halves))
    for speed in (0.5, 1.5):
        sound = rendered(page, speed=speed)[:, 0]
        begins, ends = np.flatnonzero(np.abs(sound) > 0.1)[[0, -1]] / 44100 * speed
        assert (begins, ends) == pytest.approx((2, 11), abs=0.05), speed
        sound = sound[round(2.1 / speed * 44100) : round(10.9 / speed * 44100)]
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        near = np.abs(np.fft.rfftfreq(len(sound), 1 / 44100) - 440) < 10
        assert near[power.argmax()] and power[near].sum() > 0.98 * power.sum(), speed
        levels = np.square(sound[: len(sound) // 441 * 441]).reshape(-1, 441).mean(axis=1) ** 0.5
        assert np.percentile(levels, 1) > 0.9 * 0.3 / 2**0.5, "waves do not join"
    page.get_by_role("combobox", name="Speed").select_option("50 %")
    page.keyboard.press("Space")
    playing(page)
    clock = page.evaluate("[xumxPlayer.context.currentTime, xumxPlayer.position]")
    page.wait_for_timeout(300)
    later = page.evaluate("[xumxPlayer.context.currentTime, xumxPlayer.position]")
    assert later[1] - clock[1] == pytest.approx((later[0] - clock[0]) / 2, abs=1e-6) and later[1] > clock[1]


def test_the_mix_is_saved_as_it_is_heard(page, song, tmp_path):
    _, mix, stems = song
    whole, drums = (read(path)[0] for path in (mix, stems["drums"]))
    page.get_by_role("button", name="Mute drums").click()
    page.get_by_role("slider", name="Volume of everything").fill("0.5")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "A song - mix.wav"
    download.value.save_as(tmp_path / "mix.wav")
    saved, rate = read(tmp_path / "mix.wav")
    expected = (whole - drums) / 4
    assert (saved.shape, rate) == (expected.shape, 44100)
    error = np.square(saved - expected).reshape(-1, 441 * 5, 2).mean(axis=(1, 2))
    assert error.mean() <= 0.005 * np.square(expected).mean()
    assert error[[199, 200, 399, 400]].max() <= 3 * error.mean(), "at the joins"


def test_links_lead_to_the_stems(page, song):
    """From disk, where a browser does not save but plays them, in a tab of their own."""
    for name, stem in song[2].items():
        link = page.get_by_role("link", name=f"Download {name}.wav")
        with page.context.expect_page() as opened:
            link.click()
        assert unquote(opened.value.url) == f"file://{stem}"


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_it_fits_the_screen(visit, tmp_path, width):
    audio = music(1)
    mix = write(tmp_path / "song.wav", audio)
    names = ("no_" + 30 * "verylongname", "b")
    scores = {names[0]: dict.fromkeys(("SDR", "SIR", "ISR", "SAR"), -12.3456)}
    path = report.write(
        tmp_path, 12 * "Wordwithoutspace", mix, dict.fromkeys(names, mix), scores, about=50 * "x"
    )
    page = visit(path, viewport={"width": width, "height": 700}, has_touch=width < 700, is_mobile=width < 700)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for control in page.locator(".row button, .row a, .row input").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, control
        assert width > 700 or min(box["width"], box["height"]) >= 24
    expect(page.get_by_role("button", name="Play")).to_be_in_viewport()


def test_touch(visit, song):
    page = visit(song[0], viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Play").tap()
    playing(page)
    page.get_by_role("button", name="Mute bass").tap()
    assert gains(page) == [0, 1, 1, 1]


def test_the_original_against_the_stems(visit, tmp_path, song):
    """Where the stems are not the whole song."""
    _, mix, stems = song
    some = {name: stems[name] for name in ("bass", "vocals")}
    page = visit(report.write(tmp_path, "A song", mix, some))
    page.keyboard.press("Space")
    playing(page)
    original = page.get_by_role("button", name="Original")
    assert gains(page) == [1, 1, 0]
    original.click()
    assert gains(page) == [0, 0, 1]
    expect(original).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("0")
    assert gains(page) == [1, 1, 0]
    page.keyboard.press("0")
    page.keyboard.press("1")  # whoever mutes a stem wants to hear the others
    assert gains(page) == [0, 1, 0]
    error = rendered(page, "player.original = true") - read(mix)[0]
    assert np.square(error).mean() < 0.01 * np.square(read(mix)[0]).mean()


def test_sound_that_cannot_be_decoded(visit, song, tmp_path):
    broken = re.sub(r'(id="sound-0-0">)[^<]*', r"\1AAAA", song[0].read_text(encoding="utf-8"))
    (tmp_path / "index.html").write_text(broken, encoding="utf-8")
    page = visit(tmp_path / "index.html")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("cannot play the sound")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_light_and_dark(visit, song):
    def lightness(scheme):
        page = visit(song[0], color_scheme=scheme)
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        return [sum(map(int, colour[4:-1].split(","))) for colour in colours]

    (light, ink), (dark, chalk) = lightness("light"), lightness("dark")
    assert light > 600 > 200 > dark and ink < 200 < 600 < chalk


def test_without_javascript_pictures_and_links_remain(visit, song):
    page = visit(song[0], java_script_enabled=False)
    expect(page.get_by_role("img", name="Spectrogram of drums")).to_be_visible()
    expect(page.get_by_role("link", name="Download drums.wav")).to_be_visible()
