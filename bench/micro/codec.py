"""The WebSocket and HTTP codecs: a frame out, frames in, a request in."""

from __future__ import annotations

from bench.micro.samples import EVENT, PUBLISH_REQUEST, SUBSCRIBE, masked

from herenow.protocol import websocket
from herenow.protocol.http1 import RequestParser

_MAX_BYTES = 65_536

_frame = masked(SUBSCRIBE)
_ten_frames = _frame * 10
_long_frame = masked(b'"' + b"x" * 10_000 + b'"')
_decoder = websocket.Decoder(_MAX_BYTES)
_parser = RequestParser(_MAX_BYTES)


def frame_an_event() -> object:
    return websocket.text_frame(EVENT)


def read_a_frame() -> object:
    return _decoder.receive_data(_frame)


def read_ten_frames_at_once() -> object:
    return _decoder.receive_data(_ten_frames)


def read_a_frame_of_10_kilobytes() -> object:
    return _decoder.receive_data(_long_frame)


def read_a_publish_request() -> object:
    return _parser.receive_data(PUBLISH_REQUEST)


SUBJECTS = (
    frame_an_event,
    read_a_frame,
    read_ten_frames_at_once,
    read_a_frame_of_10_kilobytes,
    read_a_publish_request,
)
