/* A test main in miniature: every check is counted, a failed one is printed with its place, and the exit status tells. */
#ifndef COLO_TEST_H
#define COLO_TEST_H

#include <stdint.h>
#include <stdio.h>

extern unsigned checks_passed, checks_failed;

void check(int ok, const char *what, const char *file, int line);
#define CHECK(x) check(!!(x), #x, __FILE__, __LINE__)
#define EQUAL(a, b) check_equal((long long)(a), (long long)(b), #a " == " #b, __FILE__, __LINE__)
void check_equal(long long a, long long b, const char *what, const char *file, int line);

/* Repeatable numbers (splitmix64), so that a failure happens again. */
uint64_t random_next(uint64_t *state);
void random_bytes(uint64_t *state, uint8_t *out, size_t bytes);

void test_checksum(void);
void test_nfq_parse(void);
void test_nfq_pairs(void);
void test_nfq_verdict(void);
void test_nfq_kernel(void);
void test_nfq_waiting(void);
void test_sockets(void);
void test_stream(void);
void test_tap(void);
void test_frameport(void);
void test_mapfile(void);
void test_tails(void);
void test_digest(void);
void test_capabilities(const char *own_path);
int capabilities_child(int argc, char **argv);

/* Tests that need more than a plain user's rights say why they did not run. */
int in_own_network(void);

#endif
