// SPDX-License-Identifier: Apache-2.0
#include "vpn/charon_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "vpn/peer_watch.h"

namespace hnv {
namespace {

// Lifetimes are hard limits; charon rekeys in the last fifth before them, at random (it subtracts
// up to a tenth from what it is told).
constexpr uint64_t rekey_of(uint64_t life) { return life / 10 * 9; }

std::string_view text_of(IkeEncryption encryption) {
  switch (encryption) {
    case IkeEncryption::aes128:
      return "aes128";
    case IkeEncryption::aes192:
      return "aes192";
    case IkeEncryption::aes256:
      return "aes256";
    case IkeEncryption::gcm_aes128:
      return "aes128gcm16";
    case IkeEncryption::gcm_aes256:
      return "aes256gcm16";
    case IkeEncryption::des3:
      return "3des";
  }
  return "";
}

std::string_view text_of(IkeIntegrity integrity) {
  switch (integrity) {
    case IkeIntegrity::sha1:
      return "sha1";
    case IkeIntegrity::sha256:
      return "sha256";
    case IkeIntegrity::sha384:
      return "sha384";
  }
  return "";
}

std::string_view text_of(DhGroup group) {
  switch (group) {
    case DhGroup::group2:
      return "modp1024";
    case DhGroup::group14:
      return "modp2048";
    case DhGroup::ecp256:
      return "ecp256";
    case DhGroup::ecp384:
      return "ecp384";
  }
  return "";
}

std::string_view text_of(EspCipher cipher) {
  switch (cipher) {
    case EspCipher::des3:
      return "3des";
    case EspCipher::aes128:
      return "aes128";
    case EspCipher::aes192:
      return "aes192";
    case EspCipher::aes256:
      return "aes256";
    case EspCipher::gcm_aes128:
      return "aes128gcm16";
    case EspCipher::gcm_aes192:
      return "aes192gcm16";
    case EspCipher::gcm_aes256:
      return "aes256gcm16";
    case EspCipher::chacha20_poly1305:
      return "chacha20poly1305";
  }
  return "";
}

bool own_integrity(EspCipher cipher) {
  return cipher == EspCipher::gcm_aes128 || cipher == EspCipher::gcm_aes192 ||
         cipher == EspCipher::gcm_aes256 || cipher == EspCipher::chacha20_poly1305;
}

// Of a cipher without integrity of its own.
std::string_view text_of(EspAuthentication authentication) {
  switch (authentication) {
    case EspAuthentication::sha1_96:
      return "sha1";
    case EspAuthentication::sha256_128:
      return "sha256";
    case EspAuthentication::sha384_192:
      return "sha384";
    case EspAuthentication::sha512_256:
      return "sha512";
    default:
      return "";
  }
}

std::string group_of(const TunnelSpec& spec) {
  const DhGroup by_default = spec.profile == IkeProfile::modern ? DhGroup::ecp384 : DhGroup::group2;
  return std::string(text_of(spec.main_mode.diffie_hellman_group.value_or(by_default)));
}

std::string forward_secrecy_of(const TunnelSpec& spec) {
  switch (*spec.quick_mode.perfect_forward_secrecy) {
    case ForwardSecrecy::none:
      return "";
    case ForwardSecrecy::pfs2:
      return "-modp1024";
    case ForwardSecrecy::pfs2048:
      return "-modp2048";
    case ForwardSecrecy::ecp256:
      return "-ecp256";
    case ForwardSecrecy::ecp384:
      return "-ecp384";
    case ForwardSecrecy::main_mode:
      return fmt::format("-{}", group_of(spec));
  }
  return "";
}

std::string seconds(uint64_t n) { return fmt::format("{}s", n); }

std::vector<std::string> texts_of(const std::vector<VpnTrafficSelector>& selectors) {
  if (selectors.empty()) return {"0.0.0.0/0", "::/0"};
  std::vector<std::string> out;
  for (const VpnTrafficSelector& one : selectors) {
    std::string text = one.ip_address_start.to_string();
    if (one.ip_address_end != one.ip_address_start) {
      text += fmt::format("-{}", one.ip_address_end.to_string());
    }
    if (one.protocol_id != 0) {
      const std::string_view format = one.port_start == 0 && one.port_end == 65'535 ? "[{}]"
                                      : one.port_start == one.port_end              ? "[{}/{}]"
                                                                                    : "[{}/{}-{}]";
      text += fmt::format(fmt::runtime(format), one.protocol_id, one.port_start, one.port_end);
    }
    out.push_back(std::move(text));
  }
  return out;
}

std::string_view text_of(Revocation revocation) {
  switch (revocation) {
    case Revocation::off:
      return "relaxed";
    case Revocation::if_uri:
      return "ifuri";
    case Revocation::strict:
      return "strict";
  }
  return "";
}

ViciSection local_auth(const TunnelSpec& spec) {
  ViciSection out;
  if (spec.authentication_method == IkeAuthentication::psk) {
    out.add("auth", "psk");
  } else {
    out.add("auth", "pubkey").add("certs", std::vector{spec.certificates.certificate});
  }
  out.add("id", local_identity(spec));
  return out;
}

ViciSection remote_auth(const TunnelSpec& spec) {
  ViciSection out;
  if (spec.authentication_method == IkeAuthentication::psk) {
    out.add("auth", "psk");
  } else {
    // Without cacerts any authority that charon knows, of any tenant, could vouch for this site.
    out.add("auth", "pubkey")
        .add("cacerts", spec.certificates.certificate_authorities)
        .add("revocation", std::string(text_of(spec.certificates.revocation)));
  }
  out.add("id", remote_identity(spec));
  return out;
}

ViciSection child_message(uint32_t if_id, const TunnelSpec& spec) {
  const QuickModeSpec& mode = spec.quick_mode;
  const uint64_t bytes = uint64_t{mode.sa_life_time_kilo_bytes} * 1024;
  const bool persistent = spec.initiation == Initiation::on_start;
  ViciSection out;
  out.add("mode", "tunnel")
      .add("local_ts", texts_of(spec.local_traffic_selectors))
      .add("remote_ts", texts_of(spec.remote_traffic_selectors))
      .add("esp_proposals", esp_proposals(spec))
      .add("life_time", seconds(mode.sa_life_time_seconds))
      .add("rekey_time", seconds(rekey_of(mode.sa_life_time_seconds)))
      .add("life_bytes", std::to_string(bytes))
      .add("rekey_bytes", std::to_string(rekey_of(bytes)))
      .add("replay_window", "1024")
      .add("if_id_in", std::to_string(if_id))
      .add("if_id_out", std::to_string(if_id))
      .add("start_action", "none")  // the gateway starts them, at its own pace
      .add("close_action", persistent ? "start" : "none")
      .add("dpd_action", persistent ? "restart" : "clear")
      .add("policies", "no")
      .add("copy_df", "no")
      .add("hw_offload", "no");
  if (const uint32_t idle = idle_disconnect_seconds(spec); idle != 0) {
    out.add("inactivity", seconds(idle));
  }
  return out;
}

CharonCommand shared_secret(uint32_t if_id, const TunnelSpec& spec) {
  ViciSection message;
  message.add("id", charon_name(if_id))
      .add("type", "IKE")
      .add("data", spec.shared_secret)
      // Never the local identity: whoever knew one tenant's secret could then be any other's site.
      .add("owners", std::vector{remote_identity(spec)});
  return {"load-shared", std::move(message), {}};
}

CharonCommand command(const char* name, const char* key, std::string value) {
  ViciSection message;
  message.add(key, std::move(value));
  return {name, std::move(message), {}};
}

void add_certificates(uint32_t if_id, const TunnelSpec& spec, std::vector<CharonCommand>& out) {
  const auto load = [&out](const char* type, const char* flag, const std::string& pem) {
    ViciSection message;
    message.add("type", type).add("flag", flag).add("data", pem);
    out.push_back({"load-cert", std::move(message), {}});
  };
  for (const auto& pem : spec.certificates.certificate_authorities) load("X509", "CA", pem);
  for (const auto& pem : spec.certificates.chain) load("X509", "NONE", pem);
  for (const auto& pem : spec.certificates.revocation_lists) load("X509_CRL", "NONE", pem);
  // A list that charon has used is in its cache, too, and asked first, as long as it is valid.
  if (!spec.certificates.revocation_lists.empty()) {
    out.push_back(command("flush-certs", "type", "X509_CRL"));
  }
  ViciSection key;
  key.add("type", "any").add("data", spec.certificates.private_key);
  out.push_back({"load-key", std::move(key), if_id});
}

void add_tunnel(uint32_t if_id, const TunnelSpec& spec, std::vector<CharonCommand>& out) {
  if (spec.authentication_method == IkeAuthentication::psk) {
    out.push_back(shared_secret(if_id, spec));
  } else {
    add_certificates(if_id, spec, out);
  }
  ViciSection message;
  message.add(charon_name(if_id), connection_message(if_id, spec));
  out.push_back({"load-conn", std::move(message), {}});
}

}  // namespace

bool supported_charon(std::string_view version) {
  constexpr std::array<std::string_view, 4> kKnown{"5.9.8", "5.9.9", "5.9.10", "5.9.11"};
  return std::find(kKnown.begin(), kKnown.end(), version) != kKnown.end();
}

std::string strongswan_conf(const CharonFiles& files) {
  const std::string log = files.log.empty() ? std::string("stderr {")
                                            : fmt::format("gateway {{\n      path = {}", files.log);
  // hnv-gateway! is critical: without it charon would go on with the kernel's IPsec. Its number is
  // a priority, before kernel-netlink, which is there for addresses and routes only. Log levels
  // above 1 tell of packets, and from 4 on of keys.
  return fmt::format(
      R"(# Written by hnv-gateway.
charon-systemd {{
  load_modular = yes
  install_routes = no
  install_virtual_ip = no
  routing_table = 0
  threads = 16
  ikesa_table_size = 1024
  ikesa_table_segments = 16
  block_threshold = 200
  cookie_threshold = 30
  half_open_timeout = 30
  retransmit_timeout = 2
  retransmit_base = 1.5
  retransmit_tries = 5
  journal {{
    default = -1
  }}
  filelog {{
    {}
      default = 1
      ike_name = yes
      flush_line = yes
    }}
  }}
  plugins {{
    random {{ load = yes }}
    nonce {{ load = yes }}
    openssl {{ load = yes }}
    pem {{ load = yes }}
    pkcs1 {{ load = yes }}
    pkcs8 {{ load = yes }}
    x509 {{ load = yes }}
    revocation {{ load = yes }}
    constraints {{ load = yes }}
    pubkey {{ load = yes }}
    kdf {{ load = yes }}
    hmac {{ load = yes }}
    aes {{ load = yes }}
    gcm {{ load = yes }}
    chapoly {{ load = yes }}
    socket-default {{ load = yes }}
    hnv-gateway! {{ load = 100 }}
    kernel-netlink {{ load = yes }}
    counters {{ load = yes }}
    vici {{
      load = yes
      socket = unix://{}
    }}
  }}
}}
)",
      log, files.vici_socket);
}

std::string charon_name(uint32_t if_id) { return fmt::format("t{}", if_id); }

std::optional<uint32_t> if_id_of(std::string_view name) {
  uint32_t value = 0;
  if (name.size() < 2 || name.front() != 't') return std::nullopt;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + 1, end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

std::vector<std::string> ike_proposals(const TunnelSpec& spec) {
  const MainModeSpec& mode = spec.main_mode;
  const bool modern = spec.profile == IkeProfile::modern;
  if (!mode.encryption_algorithm && !mode.integrity_algorithm && !mode.diffie_hellman_group) {
    if (modern) {
      return {"aes256gcm16-prfsha384-ecp384", "aes256-sha384-ecp384", "aes256-sha256-ecp256",
              "aes256-sha256-modp2048"};
    }
    return {"aes256-sha256-modp1024", "aes256-sha1-modp1024", "3des-sha1-modp1024"};
  }
  const auto encryption = mode.encryption_algorithm.value_or(
      modern && !mode.integrity_algorithm ? IkeEncryption::gcm_aes256 : IkeEncryption::aes256);
  const auto integrity =
      mode.integrity_algorithm.value_or(modern ? IkeIntegrity::sha384 : IkeIntegrity::sha256);
  // With a cipher that authenticates itself the hash is that of the key derivation only.
  const bool aead =
      encryption == IkeEncryption::gcm_aes128 || encryption == IkeEncryption::gcm_aes256;
  return {fmt::format("{}-{}{}-{}", text_of(encryption), aead ? "prf" : "", text_of(integrity),
                      group_of(spec))};
}

std::vector<std::string> esp_proposals(const TunnelSpec& spec) {
  const QuickModeSpec& mode = spec.quick_mode;
  const bool modern = spec.profile == IkeProfile::modern;
  const bool named = mode.cipher_transformation_constant ||
                     mode.authentication_transformation_constant || mode.perfect_forward_secrecy;
  if (!named && modern) {
    return {"aes256gcm16-ecp384-esn-noesn", "aes256gcm16-ecp256-esn-noesn",
            "aes256gcm16-esn-noesn",        "chacha20poly1305-ecp384-esn-noesn",
            "aes256-sha256-modp2048",       "aes256-sha256"};
  }
  if (!named) return {"3des-sha256-modp2048", "aes256-sha1-modp1024", "aes256-sha1", "3des-sha1"};
  auto cipher = mode.cipher_transformation_constant.value_or(modern ? EspCipher::gcm_aes256
                                                                    : EspCipher::des3);
  const auto authentication = mode.authentication_transformation_constant;
  if (!mode.cipher_transformation_constant && authentication) {
    // The authentication alone says which cipher is its own; with a hash it is AES.
    switch (*authentication) {
      case EspAuthentication::gcm_aes128:
        cipher = EspCipher::gcm_aes128;
        break;
      case EspAuthentication::gcm_aes192:
        cipher = EspCipher::gcm_aes192;
        break;
      case EspAuthentication::gcm_aes256:
        cipher = EspCipher::gcm_aes256;
        break;
      default:
        cipher = modern ? EspCipher::aes256 : EspCipher::des3;
        break;
    }
  }
  std::string proposal(text_of(cipher));
  if (!own_integrity(cipher)) {
    proposal += '-';
    proposal += text_of(authentication.value_or(EspAuthentication::sha256_128));
  }
  if (mode.perfect_forward_secrecy) {
    proposal += forward_secrecy_of(spec);
  } else {
    proposal += modern ? "-ecp384" : "-modp2048";
  }
  if (own_integrity(cipher)) proposal += "-esn-noesn";
  return {std::move(proposal)};
}

ViciSection connection_message(uint32_t if_id, const TunnelSpec& spec) {
  ViciSection out;
  const uint64_t life = spec.main_mode.sa_life_time_seconds;
  out.add("version", "2")
      .add("local_addrs", std::vector{spec.source_ip_address.to_string()})
      .add("remote_addrs", std::vector<std::string>{spec.destination_ip_address
                                                        ? spec.destination_ip_address->to_string()
                                                        : std::string("%any")})
      .add("proposals", ike_proposals(spec))
      .add("mobike", "no")
      .add("aggressive", "no")
      .add("encap", spec.udp_encapsulation == UdpEncapsulation::forced ? "yes" : "no")
      .add("dpd_delay", seconds(silence_before_asking_seconds(spec)))
      .add("rekey_time", seconds(rekey_of(life)))
      .add("over_time", seconds(life - rekey_of(life)))
      .add("reauth_time", "0s")
      .add("unique", "replace")
      .add("childless", "allow")
      .add("fragmentation", "yes")
      .add("send_certreq", "yes")
      .add("keyingtries", "1")  // the gateway tries again, at its own pace
      .add("local", local_auth(spec))
      .add("remote", remote_auth(spec))
      .add("children", ViciSection().add(charon_name(if_id), child_message(if_id, spec)));
  return out;
}

const TunnelSpec* CharonConfig::find(uint32_t if_id) const {
  const auto at = tunnels_.find(if_id);
  return at == tunnels_.end() ? nullptr : &at->second;
}

std::vector<CharonCommand> CharonConfig::set(uint32_t if_id, const TunnelSpec& spec) {
  if (spec.admin_status == AdminStatus::disabled) return remove(if_id);
  const TunnelSpec* before = find(if_id);
  std::vector<CharonCommand> out;
  if (before != nullptr) {
    const bool same = connection_message(if_id, *before) == connection_message(if_id, spec) &&
                      before->shared_secret == spec.shared_secret &&
                      before->certificates == spec.certificates;
    if (same) {
      tunnels_.insert_or_assign(if_id, spec);
      return {};
    }
    // What belongs to the old way to authenticate goes first; what is the same is loaded again.
    out = remove(if_id);
  }
  add_tunnel(if_id, spec, out);
  tunnels_.insert_or_assign(if_id, spec);
  return out;
}

std::vector<CharonCommand> CharonConfig::remove(uint32_t if_id) {
  const TunnelSpec* before = find(if_id);
  if (before == nullptr) return {};
  std::vector<CharonCommand> out;
  out.push_back(command("unload-conn", "name", charon_name(if_id)));
  out.push_back(terminate(if_id));  // unload-conn leaves up what is up
  if (before->authentication_method == IkeAuthentication::psk) {
    out.push_back(command("unload-shared", "id", charon_name(if_id)));
  } else if (const auto key = key_ids_.find(if_id); key != key_ids_.end()) {
    // Two tunnels may have one key: it goes with the last.
    const std::string id = key->second;
    key_ids_.erase(key);
    const bool shared = std::any_of(key_ids_.begin(), key_ids_.end(),
                                    [&](const auto& other) { return other.second == id; });
    if (!shared) out.push_back(command("unload-key", "id", id));
  }
  tunnels_.erase(if_id);
  return out;
}

std::vector<CharonCommand> CharonConfig::everything() {
  std::vector<CharonCommand> out;
  key_ids_.clear();
  for (const auto& [if_id, spec] : tunnels_) add_tunnel(if_id, spec, out);
  return out;
}

void CharonConfig::key_loaded(uint32_t if_id, std::string key_id) {
  key_ids_.insert_or_assign(if_id, std::move(key_id));
}

CharonCommand CharonConfig::initiate(uint32_t if_id) {
  ViciSection message;
  message.add("child", charon_name(if_id)).add("ike", charon_name(if_id)).add("timeout", "-1");
  return {"initiate", std::move(message), {}};
}

CharonCommand CharonConfig::terminate(uint32_t if_id) {
  ViciSection message;
  message.add("ike", charon_name(if_id)).add("timeout", "-1");
  return {"terminate", std::move(message), {}};
}

CharonCommand CharonConfig::abandon(uint32_t ike_sa) {
  ViciSection message;
  message.add("ike-id", std::to_string(ike_sa)).add("force", "yes").add("timeout", "-1");
  return {"terminate", std::move(message), {}};
}

CharonCommand CharonConfig::rekey(uint32_t if_id) {
  return command("rekey", "child", charon_name(if_id));
}

}  // namespace hnv
