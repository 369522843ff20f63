// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/vpn/sa_requests.h"
#include "vpn/sa_channel.h"

namespace hnv {
namespace {

using namespace sa_protocol;  // NOLINT(google-build-using-namespace): every line would have it
using std::chrono::seconds;

constexpr uint32_t kContoso = 7;

// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hnv-sa-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

OwnedFd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  OwnedFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

struct SaChannelTest : testing::Test {
  SaChannelTest() { open(geteuid()); }
  void open(uid_t user) {
    channel.reset();
    auto listener = listen_for_sas(folder.file("sa"), geteuid());
    ASSERT_TRUE(listener) << listener.error().message;
    channel.emplace(std::move(*listener), SaChannel::Options{0, user, {0, 1000}, seconds(1)}, sas,
                    [this] { published.push_back(sas.table().generation); });
    sas.add_tunnel(kContoso, 0);
  }
  void step() { channel->step(clock.now()); }
  void connect() {
    charon = connect_to(folder.file("sa"));
    send(hello_request());
    step();
    EXPECT_EQ(type_of(receive()), Type::welcome);
  }
  void send(const Message& message) const {
    ASSERT_EQ(::send(charon.get(), message.data(), message.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(message.size()));
  }
  // Empty: nothing there; nullopt: the gateway ended it.
  [[nodiscard]] std::optional<Message> try_receive() const {
    Message out(kMaxMessage);
    const ssize_t n = recv(charon.get(), out.data(), out.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return std::nullopt;
    out.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return out;
  }
  [[nodiscard]] Message receive() const { return try_receive().value_or(Message{}); }
  static Type type_of(const Message& message) {
    Header header;
    if (message.size() < sizeof header) return Type{};
    std::memcpy(&header, message.data(), sizeof header);
    return static_cast<Type>(header.type);
  }
  // The status that a request is answered with.
  [[nodiscard]] Status ask(const Message& request) {
    send(request);
    step();
    Ack ack{};
    const Message answer = receive();
    EXPECT_EQ(type_of(answer), Type::ack);
    if (answer.size() == sizeof ack) std::memcpy(&ack, answer.data(), sizeof ack);
    return static_cast<Status>(ack.status);
  }

  ManualClock clock;
  Folder folder;
  SaDatabase sas;
  std::vector<uint64_t> published;
  std::optional<SaChannel> channel;
  OwnedFd charon;
};

TEST_F(SaChannelTest, AnSaIsPublishedBeforeItIsAcknowledged) {
  connect();
  send(add_request(5, add_message(make_spi(1, 3), kContoso, kInbound)));
  EXPECT_TRUE(published.empty());
  step();
  ASSERT_EQ(published.size(), 1U);
  EXPECT_EQ(published[0], sas.table().generation);
  EXPECT_NE(sas.table().inbound[3], nullptr);
  EXPECT_EQ(type_of(receive()), Type::ack);
}

TEST_F(SaChannelTest, ManyRequestsOfOneStepShareAPublish) {
  connect();
  for (uint32_t i = 0; i < 10; ++i) {
    send(add_request(i, add_message(make_spi(1, i), kContoso, kInbound)));
  }
  step();
  EXPECT_EQ(published.size(), 1U);
  for (uint32_t i = 0; i < 10; ++i) {
    Ack ack{};
    const Message answer = receive();
    ASSERT_EQ(answer.size(), sizeof ack);
    std::memcpy(&ack, answer.data(), sizeof ack);
    EXPECT_EQ(ack.header.sequence, i);
  }
}

TEST_F(SaChannelTest, TheLifeOfATunnel) {
  connect();
  EXPECT_EQ(ask(raw(Type::sync, 2, Bare{})), Status::done);
  EXPECT_EQ(channel->state(), SaChannel::State::synced);
  EXPECT_EQ(ask(add_request(3, add_message(make_spi(1, 3), kContoso, kInbound))), Status::done);
  EXPECT_EQ(ask(add_request(4, add_message(1001, kContoso, 0))), Status::done);
  UpdateSa update{};
  update.name = wire_name(1001, 0);
  update.source = wire_endpoint(1, 4500);
  update.destination = wire_endpoint(77, 40287);
  update.udp_encapsulated = 1;
  EXPECT_EQ(ask(raw(Type::update_sa, 5, update)), Status::done);
  EXPECT_EQ(ask(raw(Type::update_sa, 6, update)), Status::unknown) << "its name has changed";
  DelSa deleted{};
  deleted.name = {1001, 0, wire_endpoint(77, 0)};
  EXPECT_EQ(ask(raw(Type::del_sa, 7, deleted)), Status::done);
  EXPECT_EQ(ask(raw(Type::del_sa, 8, deleted)), Status::unknown);
  EXPECT_EQ(ask(raw(Type::flush, 9, Bare{})), Status::done);
  EXPECT_EQ(sas.size(), 0U);
}

TEST_F(SaChannelTest, AnSaOfATunnelThatIsNotThereIsRefused) {
  connect();
  EXPECT_EQ(ask(add_request(3, add_message(make_spi(1, 3), 99, kInbound))), Status::refused);
  EXPECT_EQ(channel->state(), SaChannel::State::connected);
}

TEST_F(SaChannelTest, AfterARestartOutboundIsClosed) {
  connect();
  EXPECT_EQ(ask(add_request(3, add_message(make_spi(1, 3), kContoso, kInbound | kReplayed))),
            Status::done);
  auto bare = add_message(1001, kContoso, kReplayed);
  bare.encryption_key_size = 0;
  EXPECT_EQ(ask(add_request(4, bare)), Status::closed);
  EXPECT_EQ(ask(raw(Type::sync, 5, Bare{})), Status::done);
  EXPECT_EQ(sas.table().outbound[kContoso], nullptr);
}

TEST_F(SaChannelTest, WhoeverBreaksTheProtocolIsDisconnected) {
  const Message broken[] = {
      raw(Type::sync, 1, Bare{}),        // before hello
      hello_request(kVersion + 1),       // another version
      {1, 2, 3},                         // no header
      raw(Type::welcome, 1, Welcome{}),  // what only the gateway says
      Message(kMaxMessage + 100, 0),     // longer than any
  };
  for (const Message& message : broken) {
    charon = connect_to(folder.file("sa"));
    send(message);
    step();
    EXPECT_FALSE(try_receive().has_value());
    EXPECT_EQ(channel->state(), SaChannel::State::away);
  }
  connect();
  send(hello_request());
  step();
  EXPECT_FALSE(try_receive().has_value()) << "hello twice";
}

TEST_F(SaChannelTest, OnlyCharonsUserIsHeard) {
  open(geteuid() + 1);
  charon = connect_to(folder.file("sa"));
  send(hello_request());
  step();
  EXPECT_FALSE(try_receive().has_value());
  EXPECT_EQ(channel->state(), SaChannel::State::away);
}

TEST_F(SaChannelTest, ANewConnectionTakesThePlaceOfTheOld) {
  connect();
  EXPECT_EQ(ask(add_request(3, add_message(make_spi(1, 3), kContoso, kInbound))), Status::done);
  const OwnedFd old = std::move(charon);
  connect();
  char byte = 0;
  EXPECT_EQ(recv(old.get(), &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_NE(sas.table().inbound[3], nullptr) << "what it had goes on";
  EXPECT_EQ(ask(raw(Type::sync, 2, Bare{})), Status::done);
}

TEST_F(SaChannelTest, ANewCharonBeginsBehindTheOldOnesIndexes) {
  connect();
  EXPECT_EQ(ask(add_request(3, add_message(make_spi(1, 41), kContoso, kInbound))), Status::done);
  charon = connect_to(folder.file("sa"));
  send(hello_request());
  step();
  Welcome welcome{};
  const Message answer = receive();
  ASSERT_EQ(answer.size(), sizeof welcome);
  std::memcpy(&welcome, answer.data(), sizeof welcome);
  EXPECT_EQ(welcome.next_index, 42U);
  EXPECT_EQ(welcome.indexes, 1000U);
}

TEST_F(SaChannelTest, CountersComeEverySecondAndLimitsAtOnce) {
  connect();
  EXPECT_EQ(ask(raw(Type::sync, 2, Bare{})), Status::done);
  auto limited = add_message(make_spi(1, 3), kContoso, kInbound);
  limited.lifetimes.soft_bytes = 1000;
  EXPECT_EQ(ask(add_request(3, limited)), Status::done);
  const uint64_t uid = sas.table().inbound[3]->uid;
  sas.count(uid, {500, 5, clock.now()});
  step();
  EXPECT_TRUE(receive().empty()) << "the second is not over";
  sas.count(uid, {1500, 15, clock.now()});
  step();
  EXPECT_EQ(type_of(receive()), Type::expire);
  clock.advance(seconds(1));
  step();
  const Message counters = receive();
  ASSERT_EQ(counters.size(), sizeof(Counters) + sizeof(SaCounters));
  SaCounters one{};
  std::memcpy(&one, counters.data() + sizeof(Counters), sizeof one);
  EXPECT_EQ(one.bytes, 1500U);
  EXPECT_EQ(one.name.spi, make_spi(1, 3));
}

TEST_F(SaChannelTest, MappingAndAcquireAreTold) {
  connect();
  channel->mapping({SaDirection::inbound, make_spi(1, 3), Ip4<Space::external>(0xcb007101)},
                   {Ip4<Space::external>(0xcb00714d), 40287});
  channel->acquire(5);
  step();
  EXPECT_EQ(type_of(receive()), Type::mapping);
  EXPECT_EQ(type_of(receive()), Type::acquire);
}

TEST_F(SaChannelTest, ACharonThatDoesNotReadIsEndedNotWaitedFor) {
  connect();
  for (int i = 0; i < 100'000 && channel->state() != SaChannel::State::away; ++i) {
    channel->acquire(1);
    step();
  }
  EXPECT_EQ(channel->state(), SaChannel::State::away);
}

TEST_F(SaChannelTest, HardLifetimesArePublishedWithoutCharon) {
  connect();
  auto limited = add_message(make_spi(1, 3), kContoso, kInbound);
  limited.lifetimes.hard_seconds = 10;
  EXPECT_EQ(ask(add_request(3, limited)), Status::done);
  charon = OwnedFd();
  step();
  EXPECT_EQ(channel->state(), SaChannel::State::away);
  clock.advance(seconds(10));
  step();
  EXPECT_EQ(sas.table().inbound[3], nullptr);
  EXPECT_EQ(published.size(), 2U);
}

TEST(ListenForSas, WantsANarrowFolder) {
  const Folder folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 0750), 0);
  const auto open = listen_for_sas(folder.file("sa"), geteuid());
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().message.find("0700"), std::string::npos);
  ASSERT_EQ(chmod(folder.path().c_str(), 0700), 0);
  EXPECT_TRUE(listen_for_sas(folder.file("sa"), geteuid()));
  struct stat made {};
  ASSERT_EQ(stat(folder.file("sa").c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777, 0600U);
  EXPECT_FALSE(listen_for_sas("/nonexistent/sa", geteuid()));
}

}  // namespace
}  // namespace hnv
