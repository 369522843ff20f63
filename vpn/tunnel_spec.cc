// SPDX-License-Identifier: Apache-2.0
#include "vpn/tunnel_spec.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace hnv {
namespace {

enum class IdentityKind : uint8_t { address, name, distinguished_name, none };

bool plain(char c) {
  const auto u = static_cast<unsigned char>(c);
  return std::isalnum(u) != 0 || c == '-' || c == '.' || c == '_' || c == '@' || c == '+';
}

// What charon would take for a pattern, a key id or a typed identity is none.
IdentityKind kind_of(std::string_view text) {
  if (const auto address = IpAddress<Space::external>::parse(text)) {
    return address->unspecified() ? IdentityKind::none : IdentityKind::address;
  }
  if (text.empty() || text.size() > 255) return IdentityKind::none;
  if (text.find('=') != std::string_view::npos) {
    const bool printable =
        std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
    const bool pattern = text.find_first_of("*?\"\\{}") != std::string_view::npos;
    const bool begins = std::isalpha(static_cast<unsigned char>(text.front())) != 0;
    return printable && !pattern && begins ? IdentityKind::distinguished_name : IdentityKind::none;
  }
  const bool good = std::all_of(text.begin(), text.end(), plain) && text.front() != '@' &&
                    std::count(text.begin(), text.end(), '@') <= 1;
  return good ? IdentityKind::name : IdentityKind::none;
}

std::string canonical(std::string text) {
  if (const auto address = IpAddress<Space::external>::parse(text)) return address->to_string();
  if (kind_of(text) == IdentityKind::name) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  return text;
}

class Check {
 public:
  Check(const TunnelSpec& spec, StoredSecrets stored)
      : spec_(spec), may_be_stored_(stored == StoredSecrets::perhaps) {}

  std::vector<ErrorDetail> run() {
    addresses();
    identity("localIdentity", spec_.local_identity);
    identity("remoteIdentity", spec_.remote_identity);
    authentication();
    main_mode();
    quick_mode();
    selectors("localVpnTrafficSelector", spec_.local_traffic_selectors);
    selectors("remoteVpnTrafficSelector", spec_.remote_traffic_selectors);
    times();
    rates();
    return std::move(faults_);
  }

 private:
  void fault(std::string_view where, std::string what) {
    faults_.push_back(
        {ErrorCode::invalid_value, std::move(what), fmt::format("/ipSecConfiguration/{}", where)});
  }
  // Of the connection itself.
  void burst(std::string_view where, const std::optional<uint32_t>& bytes) {
    if (!bytes || (*bytes >= 10'000 && *bytes <= 1U << 30)) return;
    faults_.push_back({ErrorCode::invalid_value,
                       fmt::format("{} is outside of 10000 to 1073741824", *bytes),
                       fmt::format("/{}", where)});
  }
  void rates() {
    burst("outboundBurstBytes", spec_.outbound_burst_bytes);
    burst("inboundBurstBytes", spec_.inbound_burst_bytes);
  }
  [[nodiscard]] bool absent(const SharedSecret& secret) const { return may_be_stored_ && !secret; }
  [[nodiscard]] static bool taken_away(const SharedSecret& secret) {
    return secret && secret->empty();
  }
  void range(std::string_view where, uint32_t value, uint32_t min, uint32_t max) {
    if (value >= min && value <= max) return;
    fault(where, fmt::format("{} is outside of {} to {}", value, min, max));
  }

  void addresses() {
    const bool source = !spec_.source_ip_address.unspecified();
    if (!source) fault("sourceIPAddress", "must be one of the gateway's VPN addresses");
    if (!spec_.destination_ip_address) {
      if (spec_.remote_identity.empty()) {
        fault("remoteIdentity", "must be given when destinationIPAddress is not");
      }
      if (spec_.initiation != Initiation::never) {
        fault("initiate", "must be \"never\" when there is no destinationIPAddress");
      }
      return;
    }
    if (spec_.destination_ip_address->unspecified()) {
      fault("destinationIPAddress", "must be the site's address; leave it out if it is not known");
    } else if (source &&
               spec_.destination_ip_address->family() != spec_.source_ip_address.family()) {
      fault("destinationIPAddress", "must be of the same family as sourceIPAddress");
    } else if (*spec_.destination_ip_address == spec_.source_ip_address) {
      fault("destinationIPAddress", "is the gateway's own address");
    }
  }

  void identity(std::string_view where, const std::string& text) {
    if (text.empty()) return;
    const IdentityKind kind = kind_of(text);
    if (kind == IdentityKind::none) {
      fault(where, fmt::format("\"{}\" must be an IP address, a domain name, user@domain or a "
                               "distinguished name, without wildcards",
                               text));
    } else if (kind == IdentityKind::distinguished_name &&
               spec_.authentication_method == IkeAuthentication::psk) {
      fault(where, "a distinguished name needs authenticationMethod \"Certificate\"");
    }
  }

  void authentication() {
    TunnelCertificates certificates = spec_.certificates;
    if (taken_away(certificates.private_key)) certificates.private_key = SharedSecret();
    if (spec_.authentication_method == IkeAuthentication::psk) {
      // RFC 7296 §2.15 wants as much randomness as the strongest key; this is the least we can ask.
      if (!absent(spec_.shared_secret) &&
          (!spec_.shared_secret || spec_.shared_secret->size() < 8 ||
           spec_.shared_secret->size() > 256)) {
        fault("sharedSecret", "must be given, with 8 to 256 bytes");
      }
      if (certificates != TunnelCertificates{}) {
        fault("certificates", "belong to authenticationMethod \"Certificate\"");
      }
      return;
    }
    if (spec_.shared_secret && !taken_away(spec_.shared_secret))
      fault("sharedSecret", "belongs to authenticationMethod \"PSK\"");
    pem("certificates/certificate", certificates.certificate, "CERTIFICATE");
    each("certificates/chain", certificates.chain, "CERTIFICATE");
    each("certificates/certificateAuthorities", certificates.certificate_authorities,
         "CERTIFICATE");
    each("certificates/revocationLists", certificates.revocation_lists, "X509 CRL");
    if (certificates.certificate_authorities.empty()) {
      fault("certificates/certificateAuthorities",
            "must name at least one: without, any tenant's could vouch for this site");
    }
    if (absent(spec_.certificates.private_key)) return;
    if (!certificates.private_key) {
      fault("certificates/privateKey", "must be given");
    } else if (certificates.private_key->reveal_text().find("PRIVATE KEY-----") ==
               std::string_view::npos) {
      fault("certificates/privateKey", "must be a PEM text with a private key, not encrypted");
    }
  }
  void each(std::string_view where, const std::vector<std::string>& texts, std::string_view label) {
    if (texts.size() > 16) fault(where, fmt::format("has {} entries; at most 16", texts.size()));
    for (size_t i = 0; i < texts.size(); ++i) {
      pem(fmt::format("{}/{}", where, i), texts[i], label);
    }
  }
  void pem(std::string_view where, const std::string& text, std::string_view label) {
    const std::string begin = fmt::format("-----BEGIN {}-----", label);
    const size_t first = text.find(begin);
    if (first == std::string::npos || text.find(begin, first + 1) != std::string::npos ||
        text.find(fmt::format("-----END {}-----", label), first) == std::string::npos) {
      fault(where, fmt::format("must be a PEM text with one {}", label));
    } else if (text.size() > 65'535) {
      fault(where, fmt::format("has {} bytes; at most 65535", text.size()));
    }
  }

  void main_mode() {
    const MainModeSpec& mode = spec_.main_mode;
    range("mainMode/saLifeTimeSeconds", mode.sa_life_time_seconds, 300, 86'400);
    if (spec_.profile == IkeProfile::rras_legacy) return;
    if (mode.encryption_algorithm == IkeEncryption::des3) legacy("mainMode/encryptionAlgorithm");
    if (mode.integrity_algorithm == IkeIntegrity::sha1) legacy("mainMode/integrityAlgorithm");
    if (mode.diffie_hellman_group == DhGroup::group2) legacy("mainMode/diffieHellmanGroup");
  }

  void quick_mode() {
    const QuickModeSpec& mode = spec_.quick_mode;
    range("quickMode/saLifeTimeSeconds", mode.sa_life_time_seconds, 300, 86'400);
    range("quickMode/saLifeTimeKiloBytes", mode.sa_life_time_kilo_bytes, 1'024, 0xffffffff);
    if (mode.idle_disconnect_seconds.value_or(0) != 0) {
      range("quickMode/idleDisconnectSeconds", *mode.idle_disconnect_seconds, 60, 86'400);
    }
    pairing();
    if (spec_.profile == IkeProfile::rras_legacy) return;
    if (mode.cipher_transformation_constant == EspCipher::des3) {
      legacy("quickMode/cipherTransformationConstant");
    }
    if (mode.authentication_transformation_constant == EspAuthentication::sha1_96) {
      legacy("quickMode/authenticationTransformationConstant");
    }
    if (mode.perfect_forward_secrecy == ForwardSecrecy::pfs2) {
      legacy("quickMode/perfectForwardSecrecy");
    }
  }
  // A cipher with integrity of its own is its own integrity, or none is named.
  void pairing() {
    const auto authentication = spec_.quick_mode.authentication_transformation_constant;
    const auto cipher = spec_.quick_mode.cipher_transformation_constant;
    if (!authentication) return;
    const auto own = [&]() -> std::optional<EspCipher> {
      switch (*authentication) {
        case EspAuthentication::gcm_aes128:
          return EspCipher::gcm_aes128;
        case EspAuthentication::gcm_aes192:
          return EspCipher::gcm_aes192;
        case EspAuthentication::gcm_aes256:
          return EspCipher::gcm_aes256;
        default:
          return std::nullopt;
      }
    }();
    const bool aead = cipher == EspCipher::gcm_aes128 || cipher == EspCipher::gcm_aes192 ||
                      cipher == EspCipher::gcm_aes256 || cipher == EspCipher::chacha20_poly1305;
    if (own ? cipher != own : aead) {
      fault("quickMode/authenticationTransformationConstant",
            "does not go with the cipher: one that authenticates itself stands alone, or in both");
    }
  }
  void legacy(std::string_view where) { fault(where, "needs profile \"rras-legacy\""); }

  void selectors(std::string_view where, const std::vector<VpnTrafficSelector>& list) {
    if (list.size() > 16) fault(where, fmt::format("has {} entries; at most 16", list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
      const VpnTrafficSelector& one = list[i];
      const std::string place = fmt::format("{}/{}", where, i);
      if (one.ip_address_start.family() != one.ip_address_end.family() ||
          one.ip_address_end < one.ip_address_start) {
        fault(place + "/ipAddressEnd",
              "must be of the same family as ipAddressStart and not below");
      }
      if (one.port_end < one.port_start) {
        fault(place + "/portEnd", "must not be below portStart");
      }
      const bool ports = one.port_start != 0 || one.port_end != 65'535;
      if (ports && one.protocol_id != 6 && one.protocol_id != 17 && one.protocol_id != 132) {
        fault(place + "/portStart", "needs protocolId 6 (TCP), 17 (UDP) or 132 (SCTP)");
      }
    }
  }

  void times() {
    range("numberOfTries", spec_.number_of_tries, 0, 1'000'000);
    range("retryIntervalSeconds", spec_.retry_interval_seconds, 1, 3'600);
    range("networkOutageTimeSeconds", spec_.network_outage_time_seconds, 2, 3'600);
  }

  const TunnelSpec& spec_;
  bool may_be_stored_;
  std::vector<ErrorDetail> faults_;
};

}  // namespace

std::string local_identity(const TunnelSpec& spec) {
  return spec.local_identity.empty() ? spec.source_ip_address.to_string()
                                     : canonical(spec.local_identity);
}

std::string remote_identity(const TunnelSpec& spec) {
  if (!spec.remote_identity.empty()) return canonical(spec.remote_identity);
  return spec.destination_ip_address ? spec.destination_ip_address->to_string() : std::string();
}

uint32_t idle_disconnect_seconds(const TunnelSpec& spec) {
  constexpr uint32_t kRras = 500;
  if (spec.initiation == Initiation::on_start) return 0;  // it would only be started again
  return spec.quick_mode.idle_disconnect_seconds.value_or(
      spec.initiation == Initiation::on_demand ? kRras : 0);
}

uint32_t burst_bytes(const std::optional<uint32_t>& given, uint32_t kilobits) {
  constexpr uint64_t kLeast = 10'000;
  constexpr uint64_t kMost = 1U << 30;
  const uint64_t twentieth = uint64_t{kilobits} * 1'000 / 8 / 20;
  return given.value_or(static_cast<uint32_t>(std::clamp(twentieth, kLeast, kMost)));
}

TunnelSpec with_stored_secrets(TunnelSpec spec, const TunnelSpec* before) {
  const bool psk = spec.authentication_method == IkeAuthentication::psk;
  const auto settle = [](SharedSecret& secret, const SharedSecret* stored) {
    if (!secret && stored != nullptr) secret = *stored;
    if (secret && secret->empty()) secret = SharedSecret();
  };
  settle(spec.shared_secret, psk && before != nullptr ? &before->shared_secret : nullptr);
  settle(spec.certificates.private_key,
         !psk && before != nullptr ? &before->certificates.private_key : nullptr);
  return spec;
}

std::vector<ErrorDetail> check(const TunnelSpec& spec, StoredSecrets stored) {
  return Check(spec, stored).run();
}

Result<void> TunnelIdentities::add(uint32_t tunnel, const TunnelSpec& spec) {
  Ids ids{local_identity(spec), remote_identity(spec), spec.authentication_method};
  const auto taken = [tunnel](const auto& map, const auto& key) {
    const uint32_t* owner = map.find(key);
    return owner != nullptr && *owner != tunnel;
  };
  if (ids.method == IkeAuthentication::psk && taken(psk_remotes_, ids.remote)) {
    return fail(
        ErrorCode::conflict,
        fmt::format("the remote identity {} is that of another tunnel with a shared secret: "
                    "give the site an identity of its own, or use certificates",
                    ids.remote),
        "/ipSecConfiguration/remoteIdentity");
  }
  if (taken(pairs_, std::pair(ids.local, ids.remote))) {
    return fail(
        ErrorCode::conflict,
        fmt::format("another tunnel has the identities {} and {}: give one side of this one "
                    "an identity of its own",
                    ids.local, ids.remote),
        "/ipSecConfiguration/remoteIdentity");
  }
  remove(tunnel);
  if (ids.method == IkeAuthentication::psk) psk_remotes_.insert_or_assign(ids.remote, tunnel);
  pairs_.insert_or_assign(std::pair(ids.local, ids.remote), tunnel);
  by_tunnel_.insert_or_assign(tunnel, std::move(ids));
  return {};
}

void TunnelIdentities::remove(uint32_t tunnel) {
  const Ids* found = by_tunnel_.find(tunnel);
  if (found == nullptr) return;
  const Ids ids = *found;
  if (ids.method == IkeAuthentication::psk) psk_remotes_.erase(ids.remote);
  pairs_.erase(std::pair(ids.local, ids.remote));
  by_tunnel_.erase(tunnel);
}

}  // namespace hnv
