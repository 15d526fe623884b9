# An HTTP server with what an edge has to cope with: /echo/WORD, /gone (counts clients that left), /stream (without end), /ws (WebSocket echo).
import base64, hashlib, struct, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

gone = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/ws":
            return self.websocket()
        if self.path == "/stream":
            return self.stream()
        self.answer(str(gone) if self.path == "/gone" else self.path.rpartition("/")[2])

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def stream(self):
        global gone
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"more\n")
                time.sleep(0.05)
        except OSError:
            gone += 1

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while True:
            first, length = self.rfile.read(2)
            length &= 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self.rfile.read(2))
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))
            head = bytes([first, length]) if length < 126 else bytes([first, 126]) + struct.pack(">H", length)
            self.wfile.write(head + data)
            if first & 0x0F == 8:
                self.close_connection = True
                return


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("0.0.0.0", 8080), Handler).serve_forever()
