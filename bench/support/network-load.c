/*
 * Both ends of what bench/network.ts measures, in one static program.
 *
 *   network-load serve                          prints the port it serves at 127.0.0.1, for ever
 *   network-load up|down|echo ADDRESS PORT BYTES
 *   network-load connect ADDRESS PORT COUNT AT-ONCE
 *
 * The client prints how many milliseconds it took by its own clock. A connection begins with a letter and a number.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 18 };

struct order {
  char what;
  char unused[7];
  uint64_t bytes;
};

static struct sockaddr_in server;
static struct order order;
static int left;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The client that a thread of the server answers, which is to outlive it. */
static _Thread_local int answered = -1;

static void fail(const char *what) {
  if (answered >= 0) {
    close(answered);
    pthread_exit(NULL);
  }
  perror(what);
  exit(1);
}

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void write_all(int fd, const void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t written = write(fd, (const char *)bytes + done, length - done);
    if (written <= 0) fail("write");
    done += (size_t)written;
  }
}

static void read_all(int fd, void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t got = read(fd, (char *)bytes + done, length - done);
    if (got <= 0) fail("read");
    done += (size_t)got;
  }
}

static void send_bytes(int fd, uint64_t bytes) {
  static const char zeros[PIECE];
  for (; bytes > 0; bytes -= bytes < PIECE ? bytes : PIECE) write_all(fd, zeros, bytes < PIECE ? bytes : PIECE);
}

static void receive_bytes(int fd, uint64_t bytes) {
  char *piece = malloc(PIECE);
  while (bytes > 0) {
    ssize_t got = read(fd, piece, PIECE);
    if (got <= 0) fail("read");
    bytes -= (uint64_t)got;
  }
  free(piece);
}

static void echo(int fd) {
  char *piece = malloc(PIECE);
  for (ssize_t got; (got = read(fd, piece, PIECE)) > 0;) write_all(fd, piece, (size_t)got);
  free(piece);
}

static void *answer(void *argument) {
  int fd = (int)(intptr_t)argument;
  struct order wanted;
  answered = fd;
  read_all(fd, &wanted, sizeof wanted);
  if (wanted.what == 'u') receive_bytes(fd, wanted.bytes);
  if (wanted.what == 'd') send_bytes(fd, wanted.bytes);
  if (wanted.what == 'e') echo(fd);
  if (wanted.what == 'u' || wanted.what == 'c') write_all(fd, "", 1);
  close(fd);
  return NULL;
}

static void serve(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1024) < 0) fail("listen");
  if (getsockname(listener, (struct sockaddr *)&address, &size) < 0) fail("getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    pthread_t thread;
    if (fd < 0) fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (pthread_create(&thread, NULL, answer, (void *)(intptr_t)fd) != 0) fail("pthread_create");
    pthread_detach(thread);
  }
}

static int dial(void) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  write_all(fd, &order, sizeof order);
  return fd;
}

static void *connect_some(void *argument) {
  char byte;
  (void)argument;
  for (;;) {
    pthread_mutex_lock(&lock);
    int more = left-- > 0;
    pthread_mutex_unlock(&lock);
    if (!more) return NULL;
    int fd = dial();
    read_all(fd, &byte, 1);
    close(fd);
  }
}

static void connect_many(int count, int at_once) {
  pthread_t threads[64];
  if (at_once < 1 || at_once > 64) exit(2);
  left = count;
  for (int i = 0; i < at_once; i++) {
    if (pthread_create(&threads[i], NULL, connect_some, NULL) != 0) fail("pthread_create");
  }
  for (int i = 0; i < at_once; i++) pthread_join(threads[i], NULL);
}

static void *send_to_echo(void *argument) {
  send_bytes((int)(intptr_t)argument, order.bytes);
  return NULL;
}

static void transfer(void) {
  int fd = dial();
  char byte;
  pthread_t sender;
  switch (order.what) {
    case 'u':
      send_bytes(fd, order.bytes);
      read_all(fd, &byte, 1);
      break;
    case 'd': receive_bytes(fd, order.bytes); break;
    default:
      if (pthread_create(&sender, NULL, send_to_echo, (void *)(intptr_t)fd) != 0) fail("pthread_create");
      receive_bytes(fd, order.bytes);
      pthread_join(sender, NULL);
  }
  close(fd);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 2 && strcmp(argv[1], "serve") == 0) serve();
  if (argc < 5) exit(2);
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
  if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) exit(2);
  order.what = argv[1][0];
  order.bytes = strtoull(argv[4], NULL, 10);
  double started = now_ms();
  if (order.what == 'c') connect_many(atoi(argv[4]), argc > 5 ? atoi(argv[5]) : 1);
  else transfer();
  printf("%.1f\n", now_ms() - started);
  return 0;
}
