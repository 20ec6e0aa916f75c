"""One meaning of a picture: turned, scaled and laid on white alike, whichever decoder reads it."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from PIL import Image

from curate.errors import MediaError
from curate.media import Limits, decode_medium, load_medium, read_frames
from curate.specs import VisualSpec

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)
STORED = np.zeros((8, 24, 3), np.uint8)  # a red left half, a blue right half, a green stripe at the upper edge
STORED[:, :12], STORED[:, 12:], STORED[:3] = RED, BLUE, (0, 255, 0)
SHOWN = {
    1: STORED,
    2: STORED[:, ::-1],
    3: STORED[::-1, ::-1],
    4: STORED[::-1],
    5: STORED.transpose(1, 0, 2),
    6: np.rot90(STORED, -1),
    7: STORED[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(STORED, 1),
}
"""As EXIF defines its orientations."""
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""Display matrices (a, b, c, d) that show the same."""


def one(path, **how):
    return read_frames(path, 1, **how)[0]


@pytest.mark.parametrize(
    ("ending", "orientation"), list(itertools.product(["jpg", "png", "webp", "tiff", "avif"], range(1, 9)))
)
def test_exif_orientation_is_applied(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    how = {
        "jpg": {"quality": 100, "subsampling": 0},
        "webp": {"lossless": True},
        "avif": {"quality": 100, "subsampling": "4:4:4"},
    }
    Image.fromarray(STORED).save(tmp_path / f"a.{ending}", exif=exif, **how.get(ending, {}))
    found = one(tmp_path / f"a.{ending}")
    assert found.shape == SHOWN[orientation].shape
    assert np.abs(found.astype(int) - SHOWN[orientation]).mean() < 8
    facts = decode_medium(tmp_path / f"a.{ending}", VisualSpec(frames=1, size=8)).facts
    assert facts.get("orientation", 1) == orientation or ending in ("tiff", "avif")  # Pillow turns these itself


@pytest.mark.parametrize(("ending", "orientation"), list(itertools.product(["mp4", "mov"], range(1, 9))))
def test_the_display_matrix_is_applied(ffmpeg, tmp_path, ending, orientation):
    big = np.kron(STORED, np.ones((8, 8, 1), np.uint8))
    ffmpeg(
        f"-f rawvideo -pix_fmt rgb24 -s 192x64 -r 5 -i - -c:v libx264 -crf 5 -pix_fmt yuv444p a.{ending}",
        tmp_path,
        np.repeat(big[None], 5, axis=0).tobytes(),
    )
    path = tmp_path / f"a.{ending}"
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of version 0
    a, b, c, d = (65536 * x for x in MATRICES[orientation])
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    found = one(path)
    expected = np.kron(SHOWN[orientation], np.ones((8, 8, 1), np.uint8))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 8


@pytest.mark.parametrize(("ending", "degrees"), list(itertools.product(["mp4", "mov"], [90, 180, 270])))
def test_a_turned_video_is_as_the_ffmpeg_program_shows_it(ffmpeg, frames_of, tmp_path, ending, degrees):
    ffmpeg("-f lavfi -i testsrc=s=64x32:r=5:d=1 -c:v libx264 -crf 5 -pix_fmt yuv444p plain.mp4", tmp_path)
    ffmpeg(f"-i plain.mp4 -c copy -metadata:s:v rotate={degrees} turned.{ending}", tmp_path)
    wide, high = (32, 64) if degrees != 180 else (64, 32)
    theirs = frames_of(tmp_path / f"turned.{ending}", wide, high)
    assert np.abs(one(tmp_path / f"turned.{ending}").astype(int) - theirs[2]).mean() < 2


DEPTH = np.tile(np.linspace(0, 4000, 80).astype(np.uint16), (10, 1))


def deep(folder, ending):
    path = folder / f"depth.{ending}"
    if ending == "pgm":
        path.write_bytes(b"P5 80 10 65535\n" + DEPTH.astype(">u2").tobytes())
    else:
        Image.fromarray(DEPTH).save(path)
    return path


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm", "jp2"])
def test_a_single_deep_channel_keeps_one_scale(tmp_path, ending):
    path = deep(tmp_path, ending)
    own = np.round(DEPTH / 65535 * 255)
    assert np.abs(one(path)[..., 0] - own).max() <= (1 if ending == "jp2" else 0)
    chosen = np.round(DEPTH / 4000 * 255)
    assert np.abs(one(path, depth_range=(0, 4000))[..., 0] - chosen).max() <= (1 if ending == "jp2" else 0)
    upside = one(path, depth_range=(4000, 0))[..., 0].astype(int)
    assert np.abs(upside - np.round((4000 - DEPTH.astype(int)) / 4000 * 255)).max() <= 1


@pytest.mark.parametrize("codec", ["png -pix_fmt gray16be", "ffv1 -pix_fmt gray16le", "ffv1 -pix_fmt gray12le"])
def test_deep_grey_video_has_the_scale_of_deep_pictures(ffmpeg, tmp_path, codec):
    most = 4095 if "gray12" in codec else 65535
    ffmpeg(
        f"-f rawvideo -pix_fmt gray16le -s 80x10 -r 5 -i - -c:v {codec} a.mkv",
        tmp_path,
        np.repeat(DEPTH[None] * (16 if most == 4095 else 1), 5, axis=0).astype("<u2").tobytes(),
    )
    assert np.abs(one(tmp_path / "a.mkv")[..., 0] - DEPTH / most * 255).max() <= 1
    assert np.abs(one(tmp_path / "a.mkv", depth_range=(0, 4000))[..., 0] - DEPTH / 4000 * 255).max() <= 1


def test_floating_point_is_read_on_a_stated_scale_and_never_clipped_in_silence(tmp_path):
    metres = (DEPTH / 1000).astype(np.float32)
    Image.fromarray(metres).save(tmp_path / "metres.tiff")
    Image.fromarray(metres / 4).save(tmp_path / "share.tiff")
    assert (one(tmp_path / "share.tiff")[..., 0] == np.round(metres / 4 * 255)).all()
    assert (one(tmp_path / "metres.tiff", depth_range=(0, 4))[..., 0] == np.round(metres / 4 * 255)).all()
    with pytest.raises(MediaError, match=r"0 to 4.*data\.depth_range=0,4") as caught:
        one(tmp_path / "metres.tiff")
    assert caught.value.status == "out_of_range"
    clipped = decode_medium(tmp_path / "metres.tiff", VisualSpec(frames=1, size=8, depth_range=(0, 2))).facts
    assert clipped["clipped"] == pytest.approx((metres > 2).mean()) and clipped["depth_range"] == [0, 2]
    holes = metres.copy()
    holes[0, :8] = np.nan
    Image.fromarray(holes).save(tmp_path / "holes.tiff")
    facts = decode_medium(tmp_path / "holes.tiff", VisualSpec(frames=1, size=8, depth_range=(0, 4))).facts
    assert facts["not_finite"] == pytest.approx(0.01)


def test_whole_numbers_of_32_bits_and_signed_ones(tmp_path):
    Image.fromarray(DEPTH.astype(np.int32)).save(tmp_path / "i.tiff")
    assert (one(tmp_path / "i.tiff", depth_range=(0, 4000))[..., 0] == np.round(DEPTH / 4000 * 255)).all()
    Image.fromarray(-DEPTH.astype(np.int32)).save(tmp_path / "minus.tiff")
    with pytest.raises(MediaError, match="depth_range"):
        one(tmp_path / "minus.tiff")


def clear(mode, hidden):
    """A red left half, and a right half that cannot be seen."""
    picture = np.zeros((8, 16, 4), np.uint8)
    picture[:, :8] = (*RED, 255)
    picture[:, 8:] = (*hidden, 0)
    if mode == "RGBA":
        return Image.fromarray(picture), {}
    if mode == "LA":
        return Image.fromarray(picture[..., [0, 3]], "LA"), {}
    flat = Image.fromarray(picture[..., :3]).convert("P", palette=Image.Palette.ADAPTIVE)
    return flat, {"transparency": flat.getpixel((15, 0))}


@pytest.mark.parametrize(
    ("ending", "mode"),
    [("png", "RGBA"), ("png", "LA"), ("png", "P"), ("webp", "RGBA"), ("tiff", "RGBA"), ("gif", "P"), ("avif", "RGBA")],
)
def test_what_is_transparent_lies_on_white_whatever_colour_hides_below(tmp_path, ending, mode):
    found = []
    for hidden in (BLUE, (0, 0, 0), (7, 99, 30)):
        picture, how = clear(mode, hidden)
        how |= (
            {"lossless": True}
            if ending == "webp"
            else {"quality": 100, "subsampling": "4:4:4"}
            if ending == "avif"
            else {}
        )
        picture.save(tmp_path / f"a.{ending}", **how)
        found.append(one(tmp_path / f"a.{ending}"))
        assert np.abs(found[-1][:, 9:].astype(int) - 255).max() <= (6 if ending == "avif" else 0)
        left = (255, 255, 255) if mode == "LA" else RED
        assert np.abs(found[-1][:, :7].astype(int) - left).max() <= (12 if ending == "avif" else 0)
    assert max(np.abs(found[0].astype(int) - other).max() for other in found) <= (12 if ending == "avif" else 0)


def test_transparent_video_lies_on_white(ffmpeg, tmp_path):
    picture = np.asarray(clear("RGBA", BLUE)[0])
    ffmpeg(
        "-f rawvideo -pix_fmt rgba -s 16x8 -r 5 -i - -c:v png a.mov", tmp_path, np.repeat(picture[None], 3, 0).tobytes()
    )
    found = one(tmp_path / "a.mov")
    assert (found[:, 8:] == WHITE).all() and (found[:, :8] == RED).all()


def test_palette_cmyk_and_colours_of_16_bits(tmp_path, ffmpeg):
    flat = Image.fromarray(STORED).convert("P", palette=Image.Palette.ADAPTIVE)
    for ending in ("png", "gif", "bmp", "tiff"):
        flat.save(tmp_path / f"a.{ending}")
        assert np.abs(one(tmp_path / f"a.{ending}").astype(int) - STORED).max() <= 1
    Image.fromarray(STORED).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    Image.fromarray(STORED).convert("CMYK").save(tmp_path / "cmyk.tiff")
    for name in ("cmyk.jpg", "cmyk.tiff"):
        assert np.abs(one(tmp_path / name).astype(int) - STORED).mean() < 6
    wide = (STORED.astype("<u2") * 257 - (STORED > 0)).tobytes()
    for ending in ("png", "tiff", "ppm"):
        ffmpeg(f"-f rawvideo -pix_fmt rgb48le -s 24x8 -i - -frames:v 1 deep.{ending}", tmp_path, wide)
        assert np.abs(one(tmp_path / f"deep.{ending}").astype(int) - STORED).max() <= 2


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "avif"])
def test_animated_pictures_are_read_in_time(tmp_path, ending):
    levels = [40, 90, 140, 190]
    frames = [Image.new("RGB", (16, 16), (level,) * 3) for level in levels]
    how = {"lossless": True} if ending == "webp" else {}
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], duration=200, loop=0, **how)
    assert read_frames(tmp_path / f"a.{ending}", 4)[:, 8, 8, 0] == pytest.approx(levels, abs=4)
    assert read_frames(tmp_path / f"a.{ending}", 2)[:, 8, 8, 0] == pytest.approx([90, 190], abs=4)  # at .2 and .6 s
    facts = decode_medium(tmp_path / f"a.{ending}", VisualSpec(frames=4, size=8)).facts
    assert facts["seconds"] == pytest.approx([0, 0.2, 0.4, 0.6])


def test_a_large_picture_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (3000, 3000)).save(tmp_path / "a.png")
    with pytest.raises(MediaError) as caught:
        read_frames(tmp_path / "a.png", 1, limits=Limits(pixels=1_000_000))
    assert caught.value.status == "too_large"
    with pytest.raises(MediaError) as caught:
        read_frames(tmp_path / "a.png", 1, limits=Limits(memory=0.001))
    assert caught.value.status == "too_large"


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?>\n<MPD><Period><AdaptationSet><BaseURL>{}</BaseURL></AdaptationSet></Period></MPD>\n',
    ],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.wav", "list.m3u8"])
def test_no_file_makes_the_decoder_open_another(tmp_path, media, text, name):
    other = media.video(tmp_path / "other.mp4", media.staircase(5), media.tone())
    (tmp_path / name).write_text(text.format(other))
    with pytest.raises(MediaError) as caught:
        read_frames(tmp_path / name, 1)
    assert caught.value.status == "undecodable"


def test_only_plain_files_are_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError) as caught:
        read_frames(tmp_path / "pipe.mp4", 1)
    assert caught.value.status == "missing"


def test_a_name_that_looks_like_an_address_is_a_name(tmp_path, media, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = media.video(tmp_path / "plain.mp4", media.staircase(5))
    for name in ("concat:a|b.mp4", "img%03d.mp4", "data:x.mp4"):
        path.copy(tmp_path / name) if hasattr(path, "copy") else (tmp_path / name).write_bytes(path.read_bytes())
        assert (read_frames(tmp_path.joinpath(name).relative_to(tmp_path), 1) == read_frames(path, 1)).all()


def test_a_grey_spec_and_a_picture_share_their_scale(tmp_path):
    path = deep(tmp_path, "png")
    grey = load_medium(path, VisualSpec(frames=1, size=10, channels=1, depth_range=(0, 4000)))
    assert grey.shape == (1, 10, 10, 1) and grey[0, :, 0].max() < 20 and grey[0, :, -1].min() > 235
