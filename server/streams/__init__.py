"""Streams of frames: one session per WebSocket, from its handshake to its close."""
