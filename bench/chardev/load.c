/* Loads a compare device through its chardev sockets as two guests that answer alike, and checks that it releases exactly what
 * the primary sent: every frame once, every byte. One thread, non-blocking, waits in poll(2) only, so neither side can block the other.
 *
 * load DIR stream PAYLOAD WINDOW BATCH WARM_UP_MS MEASURE_MS PID [FIRST_SEQ]   one TCP connection
 * load DIR udp PAYLOAD FLOWS BATCH WARM_UP_MS MEASURE_MS PID                   FLOWS > WINDOW, so one packet of a flow is on its way
 * load DIR latency PAYLOAD WARM_UP_PAIRS PAIRS PID                             one pair at a time
 * load DIR connections FEW MANY BLOCK WARM_UP SETTLE_MS                        rate of new ones with few and with many open
 * load DIR count PAYLOAD WINDOW BATCH PAIRS                                    one TCP connection, so many pairs
 *
 * DIR holds the device's sockets pri, sec, out, ntf; PID is the device, whose processor time is read before and after. Prints
 * one line of JSON. A checkpoint request is an error: both sides are equal. */
#define _GNU_SOURCE
#include "frames.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PRI, SEC, OUT, NTF, SOCKETS };
#define RECEIVE_BYTES (1 << 20)
#define STUCK_MS 10000
/* QEMU accepts its connections when it comes to it, and drops what it releases before the output's turn. */
#define CONNECTED_MS 200

static struct pollfd fds[SOCKETS];
static struct ring ring;
static uint64_t produced;                    /* frames that are ready to be sent */
static uint64_t sent[2], released;           /* bytes of the ring's stream: PRI, SEC, and what came back */
static uint64_t oldest, reordered;           /* all frames before `oldest` are back; frames that came before an older one */
static uint8_t *done;                        /* per slot: back, though an older one is not */
static uint8_t received[RECEIVE_BYTES];
static size_t held;                          /* bytes of a frame that is not all here */

static void fail(const char *what)
{
	fprintf(stderr, "load: %s (%llu pairs made, %llu + %llu bytes sent, %llu released)\n", what, (unsigned long long)produced,
		(unsigned long long)sent[PRI], (unsigned long long)sent[SEC], (unsigned long long)released);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* User and system time of all threads of the device: proc(5), fields 14 and 15. */
static double device_cpu_s(int pid)
{
	char path[64], text[1024], *p;
	unsigned long user, system;
	ssize_t n;
	int fd;

	if (pid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		fail("the device is gone");
	close(fd);
	text[n] = 0;
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		fail("/proc/PID/stat is not as expected");
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, STUCK_MS) != 1)
		fail("the device does nothing");
}

static void open_sockets(const char *dir)
{
	static const char *const names[] = { "pri", "sec", "out", "ntf" };
	static const char hello[] = "\0\0\0\x19" "COLO_USERSPACE_PROXY_INIT", reply[] = "\0\0\0\x19" "COLO_COMPARE_GET_XEN_INIT";
	char answer[sizeof(reply)];
	size_t got = 0;

	done = calloc(ring.slots, 1);
	for (int i = 0; i < SOCKETS; i++) {
		struct sockaddr_un to = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", dir, names[i]);
		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
			fail(strerror(errno));
		fcntl(fd, F_SETFL, O_NONBLOCK);
		fds[i].fd = fd;
	}
	if (send(fds[NTF].fd, hello, sizeof(hello) - 1, 0) != sizeof(hello) - 1)
		fail("cannot send the hello");
	while (got < sizeof(reply) - 1) {
		ssize_t n;

		wait_for(fds[NTF].fd, POLLIN);
		n = recv(fds[NTF].fd, answer + got, sizeof(reply) - 1 - got, 0);
		if (n <= 0)
			fail("no answer to the hello");
		got += (size_t)n;
	}
	if (memcmp(answer, reply, sizeof(reply) - 1))
		fail("another answer to the hello");
	usleep(CONNECTED_MS * 1000);
}

/* A connection's first packets are no part of the ring: a SYN/ACK from both, and released. */
static void start_stream(void)
{
	uint8_t frame[128], back[128];
	size_t bytes = stream_syn_ack(&ring, frame, 1), got = 0;

	if (send(fds[SEC].fd, frame, bytes, 0) != (ssize_t)bytes)
		fail("cannot send");
	stream_syn_ack(&ring, frame, 0);
	if (send(fds[PRI].fd, frame, bytes, 0) != (ssize_t)bytes)
		fail("cannot send");
	while (got < bytes) {
		ssize_t n;

		wait_for(fds[OUT].fd, POLLIN);
		n = recv(fds[OUT].fd, back + got, bytes - got, 0);
		if (n <= 0)
			fail("the output is closed");
		got += (size_t)n;
	}
	if (memcmp(frame, back, bytes))
		fail("another SYN/ACK was released");
}

static uint64_t ready_bytes(void)
{
	return produced * ring.stride;
}

/* One send of what lies contiguous. 1 when something went. */
static int send_some(int side)
{
	uint64_t total = (uint64_t)ring.slots * ring.stride, at = sent[side] % total, bytes = ready_bytes() - sent[side];
	ssize_t n;

	if (bytes == 0)
		return 0;
	if (bytes > total - at)
		bytes = total - at;
	n = send(fds[side].fd, (side == PRI ? ring.primary : ring.secondary) + at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN)
			fail(strerror(errno));
		return 0;
	}
	sent[side] += (uint64_t)n;
	return 1;
}

/* One released frame: which one is it, is it what the primary sent, and is it the first time? QEMU's own device reverses the
 * order of what waits for its output, so any order is taken here, and counted. */
static void check_frame(const uint8_t *p)
{
	int64_t ahead = ring_number(&ring, p, oldest);
	uint64_t n = oldest + (uint64_t)ahead, slot = n % ring.slots;

	if (ahead < 0 || n * ring.stride >= sent[PRI] || done[slot] || memcmp(p, ring.primary + slot * ring.stride, ring.stride))
		fail("a frame was released that the primary did not send, or sent once only");
	released += ring.stride;
	if (ahead > 0)
		reordered++;
	done[slot] = 1;
	while (done[oldest % ring.slots])
		done[oldest++ % ring.slots] = 0;
}

static int receive_some(void)
{
	ssize_t n = recv(fds[OUT].fd, received + held, sizeof(received) - held, MSG_DONTWAIT);
	size_t at = 0;

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		fail("the output is closed");
	held += (size_t)n;
	for (; held - at >= ring.stride; at += ring.stride)
		check_frame(received + at);
	held -= at;
	memmove(received, received + at, held);
	return 1;
}

static void wait_any(void)
{
	int n;

	fds[PRI].events = sent[PRI] < ready_bytes() ? POLLOUT : 0;
	fds[SEC].events = sent[SEC] < ready_bytes() ? POLLOUT : 0;
	fds[OUT].events = fds[NTF].events = POLLIN;
	n = poll(fds, SOCKETS, STUCK_MS);
	if (n == 0)
		fail("the device does nothing more");
	if (fds[NTF].revents)
		fail("a checkpoint was requested, or the device is gone");
}

/* Slots of frames before this one may be used again: it is back, and the secondary's has left too. */
static uint64_t settled(void)
{
	uint64_t secondary = sent[SEC] / ring.stride;

	return oldest < secondary ? oldest : secondary;
}

static void drive(void)
{
	int did = send_some(PRI) | send_some(SEC);

	if (!(receive_some() | did))
		wait_any();
}

static void drain(void)
{
	struct pollfd p = { .fd = fds[NTF].fd, .events = POLLIN };

	while (settled() < produced)
		drive();
	if (poll(&p, 1, 0) != 0)
		fail("a checkpoint was requested");
	if (held || recv(fds[OUT].fd, received, 1, MSG_DONTWAIT) >= 0)
		fail("more was released than was sent");
}

/* Keeps up to `window` pairs on their way, a batch at a time, until the clock or the count says stop. */
static void saturate(uint64_t window, uint64_t batch, uint64_t until_ns, uint64_t until_frames)
{
	for (uint32_t round = 0; produced < until_frames; round++) {
		if ((round & 15) == 0 && now_ns() >= until_ns)
			return;
		while (produced + batch <= settled() + window)
			for (uint64_t i = 0; i < batch; i++)
				ring_patch(&ring, produced++);
		drive();
	}
}

static void measure(uint64_t window, uint64_t batch, double warm_up_ms, double measure_ms, int pid)
{
	uint64_t from_ns, until_ns, from;
	double cpu, own, seconds;

	saturate(window, batch, now_ns() + (uint64_t)(warm_up_ms * 1e6), UINT64_MAX);
	from = released;
	cpu = device_cpu_s(pid);
	own = own_cpu_s();
	from_ns = now_ns();
	saturate(window, batch, from_ns + (uint64_t)(measure_ms * 1e6), UINT64_MAX);
	until_ns = now_ns();
	own = own_cpu_s() - own;
	cpu = device_cpu_s(pid) - cpu;
	seconds = (double)(until_ns - from_ns) / 1e9;
	double pairs = (double)(released - from) / ring.stride;
	drain();
	printf("{\"pps\":%.0f,\"cpu_us_per_pair\":%.4f,\"device_busy\":%.3f,\"generator_busy\":%.3f,\"total_pairs\":%llu,\"reordered\":%llu}\n", pairs / seconds,
	       cpu * 1e6 / pairs, cpu / seconds, own / seconds, (unsigned long long)produced, (unsigned long long)reordered);
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void latency(uint32_t warm_up, uint32_t count, int pid)
{
	uint32_t *ns = malloc(count * sizeof(*ns));
	double cpu = 0;

	for (uint32_t i = 0; i < warm_up + count; i++) {
		uint64_t began;

		if (i == warm_up)
			cpu = device_cpu_s(pid);
		ring_patch(&ring, produced++);
		began = now_ns();
		while (settled() < produced)
			drive();
		if (i >= warm_up)
			ns[i - warm_up] = (uint32_t)(now_ns() - began);
	}
	cpu = device_cpu_s(pid) - cpu;
	drain();
	qsort(ns, count, sizeof(*ns), ascending);
	printf("{\"p50_us\":%.2f,\"p99_us\":%.2f,\"cpu_us_per_pair\":%.4f,\"total_pairs\":%llu,\"reordered\":%llu}\n", ns[count / 2] / 1e3,
	       ns[(uint64_t)count * 99 / 100] / 1e3, cpu * 1e6 / count, (unsigned long long)produced, (unsigned long long)reordered);
	free(ns);
}

static void step_all(enum step step, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ring_patch_connection(&ring, produced++, step, first + i);
}

static void settle(uint64_t frames)
{
	while (settled() < frames)
		drive();
}

/* Opens `count` connections: a SYN/ACK and then data of either side, which a guest has not to say before its SYN/ACK has reached the
 * client. So a batch's SYN/ACKs are on their way while the data of the batch before is. Seconds until all is released. */
static double open_connections(uint32_t first, uint32_t count)
{
	uint64_t began = now_ns(), syn_acks_end = 0;
	uint32_t batch = ring.slots / 4, opening = 0;

	for (uint32_t done = 0; done < count;) {
		uint32_t next = count - done - opening < batch ? count - done - opening : batch;

		step_all(SYN_ACK, first + done + opening, next);
		settle(syn_acks_end);
		syn_acks_end = produced;
		step_all(DATA, first + done, opening);
		done += opening;
		opening = next;
	}
	drain();
	return (double)(now_ns() - began) / 1e9;
}

static void reset_connections(uint32_t first, uint32_t count)
{
	for (uint32_t done = 0; done < count; done += ring.slots / 4) {
		step_all(RST, first + done, count - done < ring.slots / 4 ? count - done : ring.slots / 4);
		drain();
	}
}

static void connection_rates(uint32_t few, uint32_t many, uint32_t block, uint32_t warm_up, uint32_t settle_ms)
{
	uint32_t next = 0;
	double with_few, with_many;

	open_connections(next, warm_up);
	reset_connections(next, warm_up);
	next += warm_up;
	usleep(settle_ms * 1000); /* until the device has forgotten them */
	open_connections(next, few);
	next += few;
	with_few = block / open_connections(next, block);
	next += block;
	open_connections(next, many - few - block);
	next += many - few - block;
	with_many = block / open_connections(next, block);
	printf("{\"per_s_few\":%.0f,\"per_s_many\":%.0f,\"growth\":%.4f,\"total_pairs\":%llu,\"reordered\":%llu}\n", with_few, with_many, with_many / with_few,
	       (unsigned long long)produced, (unsigned long long)reordered);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[2] : "";
	double a[6] = { 0 };
	uint32_t slots;

	for (int i = 3; i < argc && i < 9; i++)
		a[i - 3] = atof(argv[i]);
	if (!strcmp(mode, "stream") && argc >= 9) {
		ring_build(&ring, TCP_STREAM, (uint32_t)a[0], (uint32_t)a[1], argc > 9 ? (uint32_t)strtoul(argv[9], NULL, 0) : 1000);
		open_sockets(argv[1]);
		start_stream();
		measure((uint64_t)a[1], (uint64_t)a[2], a[3], a[4], (int)a[5]);
	} else if (!strcmp(mode, "udp") && argc == 9) {
		slots = (uint32_t)a[1];
		ring_build(&ring, UDP_FLOWS, (uint32_t)a[0], slots, 0);
		open_sockets(argv[1]);
		measure(2 * (uint64_t)a[2] < slots ? 2 * (uint64_t)a[2] : slots, (uint64_t)a[2], a[3], a[4], (int)a[5]);
	} else if (!strcmp(mode, "latency") && argc == 7) {
		ring_build(&ring, TCP_STREAM, (uint32_t)a[0], 16, 1000);
		open_sockets(argv[1]);
		start_stream();
		latency((uint32_t)a[1], (uint32_t)a[2], (int)a[3]);
	} else if (!strcmp(mode, "connections") && argc == 8) {
		ring_build(&ring, CONNECTIONS, 0, 800, 0);
		open_sockets(argv[1]);
		connection_rates((uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2], (uint32_t)a[3], (uint32_t)a[4]);
	} else if (!strcmp(mode, "count") && argc == 7) {
		ring_build(&ring, TCP_STREAM, (uint32_t)a[0], (uint32_t)a[1], 1000);
		open_sockets(argv[1]);
		start_stream();
		saturate((uint64_t)a[1], (uint64_t)a[2], UINT64_MAX, (uint64_t)a[3]);
		drain();
		printf("{\"total_pairs\":%llu,\"reordered\":%llu}\n", (unsigned long long)produced, (unsigned long long)reordered);
	} else {
		fprintf(stderr, "load: see the head of load.c\n");
		return 2;
	}
	ring_free(&ring);
	return 0;
}
