// A guest program that floods the network: for SECONDS it sends UDP to ADDRESS from sources that it has and from
// such as it may not have, to ports all over, as quickly as the device takes it. Prints how many packets it sent.
//
//   flood ADDRESS SECONDS     needs root
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct packet {
  struct iphdr ip;
  struct udphdr udp;
  char payload[64];
};

static uint32_t Random(void) {
  static uint32_t state = 2463534242u;
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

int main(int argc, char** argv) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
    fprintf(stderr, "usage: flood ADDRESS SECONDS\n");
    return 2;
  }
  const int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);  // its packets bring their own IP header
  if (raw < 0) {
    perror("flood: socket");
    return 1;
  }
  struct packet packet;
  memset(&packet, 0, sizeof packet);
  packet.ip.version = 4;
  packet.ip.ihl = 5;
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_UDP;
  packet.ip.tot_len = htons(sizeof packet);
  packet.ip.daddr = to.sin_addr.s_addr;
  packet.udp.len = htons(sizeof packet - sizeof packet.ip);

  const time_t end = time(NULL) + atoi(argv[2]);
  long sent = 0, refused = 0;
  for (long i = 0; i % 64 != 0 || time(NULL) < end; ++i) {
    packet.ip.saddr = i % 2 == 0 ? 0 : htonl(Random());  // 0: the kernel puts its own there
    packet.udp.source = htons((uint16_t)Random());
    packet.udp.dest = htons((uint16_t)Random());
    if (sendto(raw, &packet, sizeof packet, 0, (struct sockaddr*)&to, sizeof to) < 0) {
      ++refused;  // the device's queue is full
    } else {
      ++sent;
    }
  }
  printf("%ld sent, %ld refused\n", sent, refused);
  return sent > 0 ? 0 : 1;
}
