// SPDX-License-Identifier: Apache-2.0
//
// The control half of IPsec without a gateway around it, for tests/netns/test_charon_control.py:
// the supervised charon with our plugin, the SA channel and database, the VICI client, and a few
// lines of ESP (AES-GCM only, one packet at a time) that answer echo requests, which proves the
// keys.
//
//   charon ═ ike0 (TUN, its namespace) ─ this process ─ wire0 (TUN, ours) ═ the kernel ═ the sites
//
// Commands come as lines of JSON on standard input, answers go to standard output.
#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <linux/if_tun.h>
#include <map>
#include <memory>
#include <net/if.h>
#include <optional>
#include <poll.h>
#include <sstream>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "vpn/charon_process.h"
#include "vpn/ike_control.h"
#include "vpn/sa_channel.h"
#include "vpn/sa_database.h"

namespace hnv {
namespace {

using Json = nlohmann::json;

Instant clock_now() {
  return Instant{static_cast<uint64_t>(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())
          .count())};
}

// Asked to end: the launcher and charon end before.
volatile std::sig_atomic_t g_ended = 0;

[[noreturn]] void give_up(const std::string& why) {
  std::cerr << "hnv_charon_driver: " << why << "\n";
  std::exit(1);
}

OwnedFd wire_tun() {
  OwnedFd tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  std::strcpy(request.ifr_name, "wire0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun.get(), TUNSETIFF, &request) != 0) give_up("no TUN wire0");
  return tun;
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

template <class E, size_t N>
void read_name(const Json& in, const char* key, const Names<E, N>& names, E& out) {
  if (!in.contains(key)) return;
  for (const auto& [name, value] : names) {
    if (in[key] == name) out = value;
  }
}

IpAddress<Space::external> external(const Json& text) {
  const auto address = IpAddress<Space::external>::parse(text.get<std::string>());
  if (!address) give_up("no address: " + text.dump());
  return *address;
}

TunnelSpec spec_of(const Json& in) {
  TunnelSpec out;
  out.source_ip_address = external(in.at("source"));
  if (in.contains("destination")) out.destination_ip_address = external(in["destination"]);
  out.local_identity = in.value("localId", "");
  out.remote_identity = in.value("remoteId", "");
  read_name(in, "method", kIkeAuthenticationNames, out.authentication_method);
  read_name(in, "profile", kIkeProfileNames, out.profile);
  read_name(in, "initiate", kInitiationNames, out.initiation);
  if (in.contains("psk")) {
    out.shared_secret = SharedSecret(SecretBytes::of(in["psk"].get<std::string>()));
  }
  if (in.contains("certificate")) {
    TunnelCertificates& certificates = out.certificates;
    certificates.certificate = content(in["certificate"]);
    certificates.private_key = SharedSecret(SecretBytes::of(content(in.at("key"))));
    for (const auto& ca : in.at("cas")) {
      certificates.certificate_authorities.push_back(content(ca));
    }
    if (in.contains("crl")) certificates.revocation_lists = {content(in["crl"])};
    read_name(in, "revocation", kRevocationNames, certificates.revocation);
  }
  out.number_of_tries = in.value("tries", 0U);
  out.retry_interval_seconds = in.value("retry", 2U);
  out.network_outage_time_seconds = in.value("outage", 5U);
  return out;
}

uint16_t checksum(const uint8_t* bytes, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) sum += uint32_t{bytes[i]} << 8 | bytes[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

void put16(uint8_t* at, uint16_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
void put32(uint8_t* at, uint32_t value) {
  put16(at, static_cast<uint16_t>(value >> 16));
  put16(at + 2, static_cast<uint16_t>(value));
}
uint32_t get32(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
}

using Packet = std::vector<uint8_t>;
constexpr size_t kIp = 20;
constexpr size_t kUdp = 8;
constexpr size_t kEsp = 8;
constexpr size_t kIv = 8;
constexpr size_t kIcv = 16;

const EVP_CIPHER* gcm_of(const SaKeys& keys) {
  return keys.encryption.size() == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

// RFC 4106: the nonce is the salt and the IV, the ESP header is authenticated too.
std::optional<Packet> decrypt(const SaSpec& sa, const uint8_t* esp, size_t size) {
  if (sa.cipher != SaCipher::aes_gcm || size < kEsp + kIv + kIcv) return std::nullopt;
  std::array<uint8_t, 12> nonce{};
  std::memcpy(nonce.data(), sa.keys->salt.reveal().data(), 4);
  std::memcpy(nonce.data() + 4, esp + kEsp, kIv);
  const size_t length = size - kEsp - kIv - kIcv;
  Packet out(length);
  int n = 0;
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  Packet icv(esp + size - kIcv, esp + size);
  EVP_DecryptInit_ex(context.get(), gcm_of(*sa.keys), nullptr, sa.keys->encryption.reveal().data(),
                     nonce.data());
  EVP_DecryptUpdate(context.get(), nullptr, &n, esp, static_cast<int>(kEsp));
  EVP_DecryptUpdate(context.get(), out.data(), &n, esp + kEsp + kIv, static_cast<int>(length));
  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kIcv), icv.data());
  if (EVP_DecryptFinal_ex(context.get(), out.data() + n, &n) != 1) return std::nullopt;
  if (length < 2 || size_t{out[length - 2]} + 2 > length || out[length - 1] != 4) {
    return std::nullopt;
  }
  out.resize(length - 2 - out[length - 2]);
  return out;
}

// With its outer headers, UDP-encapsulated as kernel-libipsec wants it.
Packet encrypt(const SaSpec& sa, uint32_t sequence, Packet inner) {
  const size_t padding = (4 - (inner.size() + 2) % 4) % 4;
  for (size_t i = 1; i <= padding; ++i) inner.push_back(static_cast<uint8_t>(i));
  inner.push_back(static_cast<uint8_t>(padding));
  inner.push_back(4);
  Packet out(kIp + kUdp + kEsp + kIv + inner.size() + kIcv);
  uint8_t* ip = out.data();
  ip[0] = 0x45;
  put16(ip + 2, static_cast<uint16_t>(out.size()));
  ip[8] = 64;
  ip[9] = IPPROTO_UDP;
  put32(ip + 12, sa.source.address.v4().value());
  put32(ip + 16, sa.destination.address.v4().value());
  put16(ip + 10, checksum(ip, kIp));
  put16(ip + kIp, sa.source.port);
  put16(ip + kIp + 2, sa.destination.port);
  put16(ip + kIp + 4, static_cast<uint16_t>(out.size() - kIp));
  uint8_t* esp = ip + kIp + kUdp;
  put32(esp, sa.spi);
  put32(esp + 4, sequence);
  put32(esp + kEsp + 4, sequence);  // the IV: never twice with this key
  std::array<uint8_t, 12> nonce{};
  std::memcpy(nonce.data(), sa.keys->salt.reveal().data(), 4);
  std::memcpy(nonce.data() + 4, esp + kEsp, kIv);
  int n = 0;
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  EVP_EncryptInit_ex(context.get(), gcm_of(*sa.keys), nullptr, sa.keys->encryption.reveal().data(),
                     nonce.data());
  EVP_EncryptUpdate(context.get(), nullptr, &n, esp, static_cast<int>(kEsp));
  EVP_EncryptUpdate(context.get(), esp + kEsp + kIv, &n, inner.data(),
                    static_cast<int>(inner.size()));
  EVP_EncryptFinal_ex(context.get(), esp + kEsp + kIv + n, &n);
  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kIcv),
                      out.data() + out.size() - kIcv);
  return out;
}

class Driver {
 public:
  Driver(Launcher launcher, uid_t user, const std::string& folder)
      : user_(user),
        folder_(folder),
        tun_(std::move(launcher.tun)),
        listener_(std::move(launcher.sas)),
        wire_(wire_tun()),
        ike_([this] { process_->reconnect(); }) {
    process_.emplace(std::move(launcher.control), launcher.pid,
                     CharonProcess::Events{[this](OwnedFd commands, OwnedFd events) {
                                             ike_.attach(std::move(commands), std::move(events));
                                           },
                                           [this](int) { ike_.charon_ended(); }});
    begin_sas();
    process_->start();
  }

  void run() {
    while (!stop_ && !g_ended) {
      std::vector<pollfd> fds{
          {STDIN_FILENO, POLLIN, 0}, {tun_.get(), POLLIN, 0}, {wire_.get(), POLLIN, 0}};
      process_->add_to(fds);
      channel_->add_to(fds);
      ike_.add_to(fds);
      (void)poll(fds.data(), fds.size(), 5);
      if (fds[0].revents != 0) read_commands();
      pump();
      const Instant now = clock_now();
      process_->step(now);
      channel_->step(now);
      ike_.step(now);
    }
  }

 private:
  // As a gateway that was restarted: it knows the tunnels and no SA.
  void begin_sas() {
    channel_.reset();
    sas_.emplace(std::chrono::seconds(10));
    sequences_.clear();
    uses_.clear();
    channel_.emplace(OwnedFd(dup(listener_.get())),
                     SaChannel::Options{0, user_, {0, 32'768}, std::chrono::milliseconds(500)},
                     *sas_, [this] { table_ = sas_->table(); });
    table_ = sas_->table();
    for (const uint32_t if_id : tunnels_) sas_->add_tunnel(if_id, 0);
  }

  void pump() {
    Packet packet(65'536);
    for (int i = 0; i < 256; ++i) {
      const ssize_t n = read(tun_.get(), packet.data(), packet.size());
      if (n <= 0) break;
      (void)!write(wire_.get(), packet.data(), static_cast<size_t>(n));
    }
    for (int i = 0; i < 256; ++i) {
      const ssize_t n = read(wire_.get(), packet.data(), packet.size());
      if (n <= 0) break;
      if (!esp(packet.data(), static_cast<size_t>(n))) {
        (void)!write(tun_.get(), packet.data(), static_cast<size_t>(n));
      }
    }
  }

  // Whether it was ESP in UDP: everything else is charon's.
  bool esp(const uint8_t* packet, size_t size) {
    if (size < kIp + kUdp + kEsp || packet[0] != 0x45 || packet[9] != IPPROTO_UDP ||
        packet[kIp + 2] != 4500 / 256 || packet[kIp + 3] != 4500 % 256) {
      return false;
    }
    const uint8_t* esp = packet + kIp + kUdp;
    const uint32_t spi = get32(esp);
    if (spi == 0) return false;
    const auto sa = table_.inbound[sa_protocol::index_of_spi(spi)];
    if (sa == nullptr || sa->spec.spi != spi) return true;
    auto inner = decrypt(sa->spec, esp, size - kIp - kUdp);
    if (!inner) return true;
    ++decrypted_[sa->spec.if_id];
    count(*sa, inner->size());
    answer_echo(*sa, std::move(*inner));
    return true;
  }

  void answer_echo(const Sa& inbound, Packet inner) {
    if (inner.size() < kIp + 8 || inner[9] != IPPROTO_ICMP || inner[kIp] != 8) return;
    const auto& out = table_.outbound[inbound.spec.if_id];
    if (out == nullptr) return;
    std::swap_ranges(inner.begin() + 12, inner.begin() + 16, inner.begin() + 16);
    inner[kIp] = 0;
    inner[kIp + 2] = inner[kIp + 3] = 0;
    put16(&inner[kIp + 2], checksum(&inner[kIp], inner.size() - kIp));
    count(*out, inner.size());
    const Packet packet = encrypt(out->spec, ++sequences_[out->uid], std::move(inner));
    (void)!write(wire_.get(), packet.data(), packet.size());
  }

  void count(const Sa& sa, size_t bytes) {
    SaUse& use = uses_[sa.uid];
    use.bytes += bytes;
    ++use.packets;
    use.last = clock_now();
    sas_->count(sa.uid, use);
  }

  void read_commands() {
    std::array<char, 65'536> bytes{};
    const ssize_t n = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n <= 0) {
      stop_ = true;
      return;
    }
    input_.append(bytes.data(), static_cast<size_t>(n));
    for (size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      const Json answer = obey(Json::parse(input_.substr(0, end)));
      input_.erase(0, end + 1);
      std::cout << answer.dump() << std::endl;
    }
  }

  Json obey(const Json& command) {
    const std::string what = command.at("do");
    const uint32_t if_id = command.value("ifId", 0U);
    const Instant now = clock_now();
    if (what == "addresses") {
      std::vector<IpAddress<Space::external>> list;
      for (const auto& text : command.at("list")) list.push_back(external(text));
      process_->set_addresses(std::move(list));
    } else if (what == "set") {
      return set(if_id, spec_of(command.at("spec")), now);
    } else if (what == "remove") {
      ike_.remove(if_id);
      sas_->remove_tunnel(if_id);
      identities_.remove(if_id);
      tunnels_.erase(if_id);
      table_ = sas_->table();
    } else if (what == "connect") {
      ike_.connect(if_id, now);
    } else if (what == "disconnect") {
      ike_.disconnect(if_id, now);
    } else if (what == "rekey") {
      ike_.rekey(if_id);
    } else if (what == "forget") {
      begin_sas();
    } else if (what == "state") {
      return state();
    } else {
      return {{"error", "unknown: " + what}};
    }
    return {{"ok", true}};
  }

  Json set(uint32_t if_id, const TunnelSpec& spec, Instant now) {
    for (const ErrorDetail& fault : check(spec)) {
      return {{"error", fault.message}, {"target", fault.target}};
    }
    if (const auto unique = identities_.add(if_id, spec); !unique) {
      return {{"error", unique.error().message}, {"target", unique.error().target}};
    }
    tunnels_.insert(if_id);
    sas_->add_tunnel(if_id, 0);
    ike_.set(if_id, spec, now);
    return {{"ok", true}};
  }

  Json state() const {
    constexpr const char* kPhases[] = {"idle", "connecting", "up", "failed"};
    constexpr const char* kOutbound[] = {"none", "open", "closed"};
    constexpr const char* kIke[] = {"away", "loading", "ready", "refused"};
    Json tunnels = Json::object();
    for (const uint32_t if_id : tunnels_) {
      const IkeTunnelState* ike = ike_.tunnel(if_id);
      const TunnelSas sas = sas_->tunnel(if_id);
      const auto& outbound = table_.outbound[if_id];
      const auto decrypted = decrypted_.find(if_id);
      tunnels[std::to_string(if_id)] = {
          {"phase", kPhases[static_cast<size_t>(ike->phase)]},
          {"tries", ike->tries},
          {"rekeys", ike->rekeys},
          {"fault", ike->fault},
          {"inbound", sas.inbound},
          {"outbound", kOutbound[static_cast<size_t>(sas.outbound)]},
          {"spiOut", outbound != nullptr ? outbound->spec.spi : 0},
          {"decrypted", decrypted != decrypted_.end() ? decrypted->second : 0}};
    }
    return {{"tunnels", tunnels},
            {"pid", process_->pid()},
            {"restarts", process_->restarts()},
            {"ike", kIke[static_cast<size_t>(ike_.state())]},
            {"version", ike_.version()},
            {"synced", channel_->state() == SaChannel::State::synced},
            {"sas", sas_->size()}};
  }

  const uid_t user_;
  const std::string folder_;
  OwnedFd tun_;
  OwnedFd listener_;
  OwnedFd wire_;
  IkeControl ike_;
  std::optional<CharonProcess> process_;
  std::optional<SaDatabase> sas_;
  std::optional<SaChannel> channel_;
  SaTable table_;
  TunnelIdentities identities_;
  std::set<uint32_t> tunnels_;
  std::map<uint64_t, uint32_t> sequences_;  // by uid
  std::map<uint64_t, SaUse> uses_;
  std::map<uint32_t, uint64_t> decrypted_;  // packets by if_id
  std::string input_;
  bool stop_ = false;
};

int drive(int argc, char** argv) {
  if (argc != 4) give_up("usage: hnv_charon_driver FOLDER USER PLUGINS");
  CharonPlace place;
  place.folder = argv[1];
  place.user = static_cast<uid_t>(std::stoul(argv[2]));
  place.group = place.user;
  place.plugins = argv[3];
  spdlog::set_default_logger(spdlog::stderr_logger_mt("driver"));
  auto launcher = fork_launcher(place);
  if (!launcher) give_up(launcher.error().message);
  (void)std::signal(SIGTERM, [](int) { g_ended = 1; });
  std::cout << Json{{"ready", true}}.dump() << std::endl;
  Driver(std::move(*launcher), place.user, place.folder).run();
  return 0;
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) { return hnv::drive(argc, argv); }
