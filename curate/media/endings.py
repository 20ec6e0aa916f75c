"""How the names of files of sound, pictures and video usually end, in small letters."""

from __future__ import annotations

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
MOVING = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".flv")
SOUND = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
VISUAL = (*PICTURES, *MOVING)
