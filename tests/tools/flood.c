// A guest program that sends UDP packets as fast as it can, to addresses all over a network:
//
//   flood SECONDS BYTES PREFIX...    to PREFIX.0 to PREFIX.255, "10.1.2" say; prints how many were
//                                    sent
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { kMaxBytes = 1400, kPort = 9 };

int main(int argc, char** argv) {
  static char packet[kMaxBytes];
  if (argc < 4) return 2;
  const time_t end = time(NULL) + atoi(argv[1]);
  const int asked = atoi(argv[2]);
  const size_t size = asked > 0 && asked < kMaxBytes ? (size_t)asked : kMaxBytes;
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) return 1;
  unsigned long sent = 0;
  unsigned long refused = 0;
  for (unsigned round = 0; time(NULL) < end; ++round) {
    char text[64];
    snprintf(text, sizeof text, "%s.%u", argv[3 + (int)(round % (unsigned)(argc - 3))],
             round % 256);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(kPort)};
    if (inet_pton(AF_INET, text, &to.sin_addr) != 1) return 2;
    const ssize_t done = sendto(fd, packet, size, MSG_DONTWAIT, (struct sockaddr*)&to, sizeof to);
    if (done < 0)
      ++refused;
    else
      ++sent;
  }
  printf("%lu packets sent, %lu refused\n", sent, refused);
  return 0;
}
