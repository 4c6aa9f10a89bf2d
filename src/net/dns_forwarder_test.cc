#include "net/dns_forwarder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/slot_host.h"
#include "net/test_world.h"

namespace wrenn::net {
namespace {

using std::chrono::seconds;

std::string QuestionFor(const std::string& label, uint16_t id) {
  std::string message("\0\0\x01\0\0\x01\0\0\0\0\0\0", 12);
  message[0] = static_cast<char>(id >> 8);
  message[1] = static_cast<char>(id & 0xff);
  message += static_cast<char>(label.size());
  return message + label + std::string("\0\0\x01\0\x01", 5);
}

// As it is sent over TCP.
std::string WithLength(const std::string& message) {
  return std::string(1, static_cast<char>(message.size() >> 8)) +
         static_cast<char>(message.size() & 0xff) + message;
}

std::string AnswerTo(std::string question, const std::string& what) {
  question[2] = '\x81';
  return question + what;
}

uint16_t IdOf(const std::string& message) {
  return static_cast<uint16_t>(static_cast<unsigned char>(message[0]) << 8 |
                               static_cast<unsigned char>(message[1]));
}

// A name server of the host, on its loopback, where no guest can reach it.
struct HostServer {
  HostServer(const os::NetNamespace& where, const std::string& address)
      : udp(NewSocket(where, AF_INET, SOCK_DGRAM)), tcp(NewSocket(where, AF_INET, SOCK_STREAM)) {
    const os::SocketAddress name = SocketName(address, 53);
    EXPECT_EQ(::bind(udp.get(), name.get(), name.size()), 0);
    EXPECT_EQ(::bind(tcp.get(), name.get(), name.size()), 0);
    EXPECT_EQ(::listen(tcp.get(), 100), 0);
  }
  // The next question and who asks; empty when none comes.
  std::string Take(int milliseconds = 3000) {
    if (!Ready(udp, POLLIN, milliseconds)) return {};
    char buffer[8192];
    socklen_t size = sizeof from;
    const ssize_t got =
        ::recvfrom(udp.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    return {buffer, static_cast<size_t>(std::max<ssize_t>(got, 0))};
  }
  void Say(const std::string& message) const {
    ::sendto(udp.get(), message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&from),
             sizeof from);
  }
  UniqueFd udp, tcp;
  sockaddr_in from{};
};

class DnsForwarderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = world_.SetUp(); !reason.empty()) GTEST_SKIP() << reason;
    host_ = std::move(*SlotHost::Claim(world_.folder()));
    ASSERT_TRUE(host_->SetUp({}));
    SetResolvers("nameserver 127.0.0.53\n");
    forwarder_ = std::move(*DnsForwarder::Start(world_.folder() + "/resolv.conf"));
    slot_.emplace(MakeSlot(0));
    guest_ = std::make_unique<TestGuest>(*slot_);
    server_ = std::make_unique<HostServer>(world_.host(), "127.0.0.53");
    socket_ = Socket(*guest_);
  }

  void SetResolvers(const std::string& text) {
    ASSERT_TRUE(ReplaceFile(world_.folder() + "/resolv.conf", text));
  }
  Slot MakeSlot(int index) {
    Slot slot = std::move(*Slot::Make(*host_, SlotPlan::For(index)));
    EXPECT_TRUE(slot.SetPolicy({.internet = true}));
    const Status added = forwarder_->Add(index, slot.net_namespace());
    EXPECT_TRUE(added) << added.error().ToString();
    return slot;
  }
  // Connected to the name server that guests know.
  static UniqueFd Socket(const TestGuest& guest) {
    UniqueFd fd = NewSocket(guest.net(), AF_INET, SOCK_DGRAM);
    const os::SocketAddress name = SocketName(kSlotGateway, 53);
    EXPECT_EQ(::connect(fd.get(), name.get(), name.size()), 0);
    return fd;
  }
  static void Send(const UniqueFd& fd, const std::string& message) {
    (void)::send(fd.get(), message.data(), message.size(), MSG_NOSIGNAL);
  }
  static std::string Receive(const UniqueFd& fd, int milliseconds = 3000) {
    if (!Ready(fd, POLLIN, milliseconds)) return {};
    char buffer[8192];
    const ssize_t got = ::recv(fd.get(), buffer, sizeof buffer, 0);
    return {buffer, static_cast<size_t>(std::max<ssize_t>(got, 0))};
  }

  TestWorld world_;
  std::unique_ptr<SlotHost> host_;
  std::unique_ptr<DnsForwarder> forwarder_;
  std::optional<Slot> slot_;
  std::unique_ptr<TestGuest> guest_;
  std::unique_ptr<HostServer> server_;
  UniqueFd socket_;
};

TEST_F(DnsForwarderTest, AsksTheHostsNameServer) {
  std::set<uint16_t> ids, ports;
  for (uint16_t i = 0; i < 10; ++i) {
    Send(socket_, QuestionFor("name", i));
    const std::string question = server_->Take();
    ASSERT_EQ(question.substr(2), QuestionFor("name", i).substr(2));
    ids.insert(IdOf(question));
    ports.insert(server_->from.sin_port);
    server_->Say(AnswerTo(question, "records"));
    EXPECT_EQ(Receive(socket_), AnswerTo(QuestionFor("name", i), "records"));
  }
  // They cannot be guessed from those before.
  EXPECT_GE(ids.size(), 8U);
  EXPECT_GE(ports.size(), 5U);
}

TEST_F(DnsForwarderTest, OnlyQuestionsArePassedOn) {
  for (const std::string& junk : {std::string(), std::string("x"), std::string(3000, '\0'),
                                  std::string(6000, '\xff'), AnswerTo(QuestionFor("a", 1), "")}) {
    Send(socket_, junk);
  }
  Send(socket_, QuestionFor("good", 2));
  EXPECT_EQ(server_->Take().substr(2), QuestionFor("good", 2).substr(2));
}

TEST_F(DnsForwarderTest, OnlyAnswersToTheQuestionArePassedBack) {
  Send(socket_, QuestionFor("name", 7));
  const std::string question = server_->Take();
  const auto id = static_cast<uint16_t>(IdOf(question) + 1);
  server_->Say("junk");
  server_->Say(AnswerTo(QuestionFor("name", id), "forged"));
  server_->Say(AnswerTo(QuestionFor("evil", IdOf(question)), "forged"));
  server_->Say(AnswerTo(question, "right"));
  EXPECT_EQ(Receive(socket_), AnswerTo(QuestionFor("name", 7), "right"));
  // Somebody else's answer, from another address.
  Send(socket_, QuestionFor("name", 8));
  const std::string second = server_->Take();
  HostServer other(world_.host(), "127.0.0.54");
  other.from = server_->from;
  other.Say(AnswerTo(second, "forged"));
  EXPECT_EQ(Receive(socket_, 300), "");
}

TEST_F(DnsForwarderTest, GuestsAreApart) {
  const Slot second = MakeSlot(1);
  const TestGuest other(second);
  const UniqueFd other_socket = Socket(other);
  // The same id and name, and the addresses are the same anyway.
  Send(socket_, QuestionFor("name", 5));
  const std::string first_question = server_->Take();
  const sockaddr_in first_from = server_->from;
  Send(other_socket, QuestionFor("name", 5));
  server_->Say(AnswerTo(server_->Take(), "for the other"));
  EXPECT_EQ(Receive(other_socket), AnswerTo(QuestionFor("name", 5), "for the other"));
  server_->from = first_from;
  server_->Say(AnswerTo(first_question, "for the one"));
  EXPECT_EQ(Receive(socket_), AnswerTo(QuestionFor("name", 5), "for the one"));
  EXPECT_EQ(Receive(socket_, 100), "");
  EXPECT_EQ(Receive(other_socket, 100), "");
}

TEST_F(DnsForwarderTest, AsksTheNextServerWhenOneIsSilentOrGone) {
  HostServer second(world_.host(), "127.0.0.54");
  SetResolvers("nameserver 127.0.0.99\nnameserver 127.0.0.53\nnameserver 127.0.0.54\n");
  Send(socket_, QuestionFor("name", 1));
  EXPECT_NE(server_->Take(1000), "");  // at once: nobody listens at the first
  const std::string question = second.Take();
  second.Say(AnswerTo(question, "late"));
  EXPECT_EQ(Receive(socket_), AnswerTo(QuestionFor("name", 1), "late"));
}

TEST_F(DnsForwarderTest, SaysSoWhenNobodyAnswers) {
  SetResolvers("nameserver 127.0.0.99\nnameserver 127.0.0.98\n");
  Send(socket_, QuestionFor("name", 0x0102));
  const std::string answer = Receive(socket_, 1000);
  EXPECT_EQ(answer.substr(0, 4), std::string("\x01\x02\x81\x02", 4));
  EXPECT_EQ(answer.substr(12), QuestionFor("name", 0).substr(12));
}

TEST_F(DnsForwarderTest, OneGuestHasSoManyQuestionsOpen) {
  for (uint16_t i = 0; i < 150; ++i) {
    Send(socket_, QuestionFor("flood", i));
    if (i % 10 == 9) ::usleep(2000);  // or its own queues are what bounds it
  }
  int asked = 0;
  while (!server_->Take(300).empty()) ++asked;
  EXPECT_EQ(asked, DnsForwarder::kQuestionsOfOne);
  // Another one's are answered meanwhile.
  const Slot second = MakeSlot(1);
  const TestGuest other(second);
  const UniqueFd other_socket = Socket(other);
  Send(other_socket, QuestionFor("other", 1));
  server_->Say(AnswerTo(server_->Take(), "x"));
  EXPECT_EQ(Receive(other_socket), AnswerTo(QuestionFor("other", 1), "x"));
}

TEST_F(DnsForwarderTest, ConnectionsArePassedOn) {
  auto [outcome, fd] = Connect(guest_->net(), kSlotGateway, 53);
  ASSERT_EQ(outcome, Outcome::kConnected);
  const std::string question = WithLength(QuestionFor("long", 9));
  Send(fd, question.substr(0, 7));
  Send(fd, question.substr(7));
  ASSERT_TRUE(Ready(server_->tcp, POLLIN, 2000));
  const UniqueFd accepted(::accept4(server_->tcp.get(), nullptr, nullptr, SOCK_NONBLOCK));
  EXPECT_EQ(Receive(accepted), question);
  std::string answer(200'000, 'a');
  ASSERT_TRUE(SetNonBlocking(accepted.get()));
  std::thread sender([&] { (void)WriteAll(accepted.get(), answer, Deadline::After(seconds(10))); });
  std::string got;
  while (got.size() < answer.size()) {
    const std::string part = Receive(fd);
    if (part.empty()) break;
    got += part;
  }
  sender.join();
  EXPECT_EQ(got.size(), answer.size());
  // Its end is the other's.
  ::shutdown(accepted.get(), SHUT_RDWR);
  EXPECT_TRUE(Ready(fd, POLLIN, 2000));
  EXPECT_EQ(Receive(fd), "");
}

TEST_F(DnsForwarderTest, OnlyQuestionsArePassedOnByConnections) {
  std::string update = QuestionFor("zone", 1);
  update[2] = '\x28';
  std::string transfer = QuestionFor("zone", 1);
  transfer[transfer.size() - 3] = '\xfc';
  for (const std::string& junk : {std::string("\xff\xff", 2), std::string("\0\0", 2),
                                  WithLength(update), WithLength(transfer)}) {
    auto [outcome, fd] = Connect(guest_->net(), kSlotGateway, 53);
    ASSERT_EQ(outcome, Outcome::kConnected);
    Send(fd, junk);
    EXPECT_TRUE(Ready(fd, POLLIN, 2000));  // over
    EXPECT_EQ(Receive(fd), "");
    ASSERT_TRUE(Ready(server_->tcp, POLLIN, 2000));
    const UniqueFd accepted(::accept4(server_->tcp.get(), nullptr, nullptr, SOCK_NONBLOCK));
    EXPECT_TRUE(Ready(accepted, POLLIN, 2000));
    EXPECT_EQ(Receive(accepted), "");
  }
}

TEST_F(DnsForwarderTest, OneGuestHasSoManyConnectionsOpen) {
  std::vector<UniqueFd> open;
  for (int i = 0; i < DnsForwarder::kStreamsOfOne; ++i) {
    auto [outcome, fd] = Connect(guest_->net(), kSlotGateway, 53);
    ASSERT_EQ(outcome, Outcome::kConnected);
    open.push_back(std::move(fd));
  }
  auto [outcome, fd] = Connect(guest_->net(), kSlotGateway, 53);
  EXPECT_TRUE(Ready(fd, POLLIN, 2000));  // closed at once
  EXPECT_EQ(Receive(fd), "");
  EXPECT_FALSE(Ready(open[0], POLLIN, 100));
}

TEST_F(DnsForwarderTest, WithoutInternetThereIsNone) {
  ASSERT_TRUE(slot_->SetPolicy({.internet = false}));
  Send(socket_, QuestionFor("name", 1));
  EXPECT_TRUE(Ready(socket_, POLLIN, 1000));  // refused at once
  char byte;
  EXPECT_EQ(::recv(socket_.get(), &byte, 1, 0), -1);
  EXPECT_EQ(Connect(guest_->net(), kSlotGateway, 53).first, Outcome::kRefused);
  EXPECT_EQ(server_->Take(100), "");
}

TEST_F(DnsForwarderTest, EndsWithItsSlot) {
  Send(socket_, QuestionFor("name", 1));
  EXPECT_NE(server_->Take(), "");
  auto [outcome, fd] = Connect(guest_->net(), kSlotGateway, 53);
  ASSERT_EQ(outcome, Outcome::kConnected);
  EXPECT_FALSE(forwarder_->Add(0, slot_->net_namespace()));
  forwarder_->Remove(0);
  forwarder_->Remove(0);
  EXPECT_TRUE(Ready(fd, POLLIN, 2000));
  EXPECT_NE(Connect(guest_->net(), kSlotGateway, 53, 200).first, Outcome::kConnected);
  ASSERT_TRUE(forwarder_->Add(0, slot_->net_namespace()));
  Send(socket_, QuestionFor("name", 2));
  EXPECT_NE(server_->Take(), "");
}

}  // namespace
}  // namespace wrenn::net
