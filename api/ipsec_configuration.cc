// SPDX-License-Identifier: Apache-2.0
//
// Only forms are read here; what fits together is check() of vpn/tunnel_spec.h.
#include "api/ipsec_configuration.h"

#include "api/json_readers.h"

namespace hnv {
namespace {

constexpr size_t kMaxPem = 65'536;  // one more than check() takes, which says so
constexpr size_t kMaxListed = 64;   // more than check() takes
constexpr WholeNumber kNumber{};

struct SecretReader {
  void operator()(const Place& place, const Json& json, Faults& faults, SharedSecret& out) const {
    const std::string* text = string_of(place, json, faults, "a string");
    if (text == nullptr) return;
    if (text->empty()) return faults.invalid(place, "is empty: give it, or null to take it away");
    if (text->size() > kMaxPem) {
      return faults.invalid(place, fmt::format("has {} bytes; at most {}", text->size(), kMaxPem));
    }
    out = SharedSecret(SecretBytes::of(*text));
  }
};

// Left out keeps the stored one, null takes it away.
void read_secret(ObjectReader& in, std::string_view key, SharedSecret& out) {
  if (in.is_null(key)) out = SharedSecret(SecretBytes());
  in.optional(key, out, SecretReader{});
}

struct MainModeReader {
  void operator()(const Place& place, const Json& json, Faults& faults, MainModeSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("encryptionAlgorithm", out.encryption_algorithm, OneOf{kIkeEncryptionNames});
    in.optional("integrityAlgorithm", out.integrity_algorithm, OneOf{kIkeIntegrityNames});
    in.optional("diffieHellmanGroup", out.diffie_hellman_group, OneOf{kDhGroupNames});
    in.optional("saLifeTimeSeconds", out.sa_life_time_seconds, kNumber);
    in.optional("saLifeTimeKiloBytes", out.sa_life_time_kilo_bytes, kNumber);
    in.finish();
  }
};

struct QuickModeReader {
  void operator()(const Place& place, const Json& json, Faults& faults, QuickModeSpec& out) const {
    ObjectReader in(place, json, faults);
    in.optional("cipherTransformationConstant", out.cipher_transformation_constant,
                OneOf{kEspCipherNames});
    in.optional("authenticationTransformationConstant", out.authentication_transformation_constant,
                OneOf{kEspAuthenticationNames});
    in.optional("perfectForwardSecrecy", out.perfect_forward_secrecy, OneOf{kForwardSecrecyNames});
    in.optional("saLifeTimeSeconds", out.sa_life_time_seconds, kNumber);
    in.optional("saLifeTimeKiloBytes", out.sa_life_time_kilo_bytes, kNumber);
    in.optional("idleDisconnectSeconds", out.idle_disconnect_seconds, kNumber);
    in.finish();
  }
};

struct SelectorReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  VpnTrafficSelector& out) const {
    ObjectReader in(place, json, faults);
    in.required("ipAddressStart", out.ip_address_start, kTextFormReader);
    in.required("ipAddressEnd", out.ip_address_end, kTextFormReader);
    in.optional("protocolId", out.protocol_id, WholeNumber{0, 255});
    in.optional("portStart", out.port_start, WholeNumber{0, 65'535});
    in.optional("portEnd", out.port_end, WholeNumber{0, 65'535});
    in.finish();
  }
};

struct CertificatesReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  TunnelCertificates& out) const {
    constexpr Text kPem{kMaxPem};
    ObjectReader in(place, json, faults);
    in.optional("certificate", out.certificate, kPem);
    in.optional("chain", out.chain, ListOf{kPem, kMaxListed});
    read_secret(in, "privateKey", out.private_key);
    in.optional("certificateAuthorities", out.certificate_authorities, ListOf{kPem, kMaxListed});
    in.optional("revocationLists", out.revocation_lists, ListOf{kPem, kMaxListed});
    in.optional("revocation", out.revocation, OneOf{kRevocationNames});
    in.ignored("privateKeySet");
    in.finish();
  }
};

Json encode(const MainModeSpec& mode) {
  Json json{{"saLifeTimeSeconds", mode.sa_life_time_seconds}};
  if (mode.encryption_algorithm) {
    json["encryptionAlgorithm"] = word_of(kIkeEncryptionNames, *mode.encryption_algorithm);
  }
  if (mode.integrity_algorithm) {
    json["integrityAlgorithm"] = word_of(kIkeIntegrityNames, *mode.integrity_algorithm);
  }
  if (mode.diffie_hellman_group) {
    json["diffieHellmanGroup"] = word_of(kDhGroupNames, *mode.diffie_hellman_group);
  }
  if (mode.sa_life_time_kilo_bytes) json["saLifeTimeKiloBytes"] = *mode.sa_life_time_kilo_bytes;
  return json;
}

Json encode(const QuickModeSpec& mode) {
  Json json{{"saLifeTimeSeconds", mode.sa_life_time_seconds},
            {"saLifeTimeKiloBytes", mode.sa_life_time_kilo_bytes}};
  if (mode.cipher_transformation_constant) {
    json["cipherTransformationConstant"] =
        word_of(kEspCipherNames, *mode.cipher_transformation_constant);
  }
  if (mode.authentication_transformation_constant) {
    json["authenticationTransformationConstant"] =
        word_of(kEspAuthenticationNames, *mode.authentication_transformation_constant);
  }
  if (mode.perfect_forward_secrecy) {
    json["perfectForwardSecrecy"] = word_of(kForwardSecrecyNames, *mode.perfect_forward_secrecy);
  }
  if (mode.idle_disconnect_seconds) json["idleDisconnectSeconds"] = *mode.idle_disconnect_seconds;
  return json;
}

Json encode(const std::vector<VpnTrafficSelector>& selectors) {
  Json list = Json::array();
  for (const VpnTrafficSelector& one : selectors) {
    list.push_back({{"ipAddressStart", one.ip_address_start.to_string()},
                    {"ipAddressEnd", one.ip_address_end.to_string()},
                    {"protocolId", one.protocol_id},
                    {"portStart", one.port_start},
                    {"portEnd", one.port_end}});
  }
  return list;
}

Json encode(const TunnelCertificates& certificates, Secrets secrets) {
  Json json{{"certificate", certificates.certificate},
            {"chain", certificates.chain},
            {"certificateAuthorities", certificates.certificate_authorities},
            {"revocationLists", certificates.revocation_lists},
            {"revocation", word_of(kRevocationNames, certificates.revocation)}};
  if (secrets == Secrets::hidden) {
    json["privateKeySet"] = static_cast<bool>(certificates.private_key);
  } else if (certificates.private_key) {
    json["privateKey"] = certificates.private_key->reveal_text();
  }
  return json;
}

}  // namespace

void IpSecReader::operator()(const Place& place, const Json& json, Faults& faults,
                             TunnelSpec& out) const {
  ObjectReader in(place, json, faults);
  in.required("sourceIPAddress", out.source_ip_address, kHostAddressReader);
  in.optional("destinationIPAddress", out.destination_ip_address, kHostAddressReader);
  in.optional("localIdentity", out.local_identity, Text{256});
  in.optional("remoteIdentity", out.remote_identity, Text{256});
  in.optional("authenticationMethod", out.authentication_method, OneOf{kIkeAuthenticationNames});
  read_secret(in, "sharedSecret", out.shared_secret);
  in.ignored("sharedSecretSet");
  in.optional("certificates", out.certificates, CertificatesReader{});
  in.optional("profile", out.profile, OneOf{kIkeProfileNames});
  in.optional("mainMode", out.main_mode, MainModeReader{});
  in.optional("quickMode", out.quick_mode, QuickModeReader{});
  in.optional("localVpnTrafficSelector", out.local_traffic_selectors,
              ListOf{SelectorReader{}, kMaxListed});
  in.optional("remoteVpnTrafficSelector", out.remote_traffic_selectors,
              ListOf{SelectorReader{}, kMaxListed});
  in.optional("initiate", out.initiation, OneOf{kInitiationNames});
  in.optional("numberOfTries", out.number_of_tries, kNumber);
  in.optional("retryIntervalSeconds", out.retry_interval_seconds, kNumber);
  in.optional("networkOutageTimeSeconds", out.network_outage_time_seconds, kNumber);
  in.optional("udpEncapsulation", out.udp_encapsulation, OneOf{kUdpEncapsulationNames});
  in.optional("ikeInstance", out.ike_instance, OneOf{kIkeInstanceNames});
  if (out.ike_instance == IkeInstance::dedicated) {
    faults.add(ErrorCode::not_supported, Place(place, "ikeInstance"),
               "\"dedicated\" is not built yet: leave it out");
  }
  in.finish();
}

Json encode_ipsec(const TunnelSpec& spec, Secrets secrets) {
  Json json{{"sourceIPAddress", spec.source_ip_address.to_string()},
            {"authenticationMethod", word_of(kIkeAuthenticationNames, spec.authentication_method)},
            {"profile", word_of(kIkeProfileNames, spec.profile)},
            {"mainMode", encode(spec.main_mode)},
            {"quickMode", encode(spec.quick_mode)},
            {"localVpnTrafficSelector", encode(spec.local_traffic_selectors)},
            {"remoteVpnTrafficSelector", encode(spec.remote_traffic_selectors)},
            {"initiate", word_of(kInitiationNames, spec.initiation)},
            {"numberOfTries", spec.number_of_tries},
            {"retryIntervalSeconds", spec.retry_interval_seconds},
            {"networkOutageTimeSeconds", spec.network_outage_time_seconds},
            {"udpEncapsulation", word_of(kUdpEncapsulationNames, spec.udp_encapsulation)},
            {"ikeInstance", word_of(kIkeInstanceNames, spec.ike_instance)}};
  if (spec.destination_ip_address) {
    json["destinationIPAddress"] = spec.destination_ip_address->to_string();
  }
  if (!spec.local_identity.empty()) json["localIdentity"] = spec.local_identity;
  if (!spec.remote_identity.empty()) json["remoteIdentity"] = spec.remote_identity;
  if (spec.authentication_method == IkeAuthentication::certificate) {
    json["certificates"] = encode(spec.certificates, secrets);
  } else if (secrets == Secrets::hidden) {
    json["sharedSecretSet"] = static_cast<bool>(spec.shared_secret);
  } else if (spec.shared_secret) {
    json["sharedSecret"] = spec.shared_secret->reveal_text();
  }
  return json;
}

}  // namespace hnv
