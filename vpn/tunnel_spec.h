// SPDX-License-Identifier: Apache-2.0
//
// What an operator asks of a network connection of type IPSec (`ipSecConfiguration` and what stands
// beside it), with the Network Controller's names (MS-NCNBI) and RRAS's defaults. Plain values;
// check() says everything that is wrong with one by itself, TunnelIdentities what is wrong with
// several together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compartments/address.h"
#include "compartments/cow_map.h"
#include "compartments/enum_names.h"
#include "compartments/result.h"
#include "compartments/secret_bytes.h"

namespace hnv {

enum class IkeAuthentication : uint8_t { psk, certificate };
// Which algorithms are offered where the operator names none.
enum class IkeProfile : uint8_t { modern, rras_legacy };
enum class IkeEncryption : uint8_t { aes128, aes192, aes256, gcm_aes128, gcm_aes256, des3 };
enum class IkeIntegrity : uint8_t { sha1, sha256, sha384 };
enum class DhGroup : uint8_t { group2, group14, ecp256, ecp384 };
enum class EspCipher : uint8_t {
  des3,
  aes128,
  aes192,
  aes256,
  gcm_aes128,
  gcm_aes192,
  gcm_aes256,
  chacha20_poly1305,
};
enum class EspAuthentication : uint8_t {
  sha1_96,
  sha256_128,
  sha384_192,
  sha512_256,
  // The Network Controller names a cipher that authenticates itself twice.
  gcm_aes128,
  gcm_aes192,
  gcm_aes256,
};
enum class ForwardSecrecy : uint8_t { none, pfs2, pfs2048, ecp256, ecp384, main_mode };
enum class Initiation : uint8_t {
  on_start,   // as soon as it is configured, and again whenever it is lost
  on_demand,  // when a packet wants it
  never,      // the site does
};
enum class Revocation : uint8_t {
  off,     // CRLs that are there count; without one a certificate is good
  if_uri,  // needs a CRL when the certificate names where one is
  strict,  // needs a CRL always
};
enum class IkeInstance : uint8_t { shared, dedicated };
enum class UdpEncapsulation : uint8_t { automatic, forced };
enum class AdminStatus : uint8_t { enabled, disabled };

// The names in JSON, for reading and writing.
inline constexpr Names<IkeAuthentication, 2> kIkeAuthenticationNames{
    {{"PSK", IkeAuthentication::psk}, {"Certificate", IkeAuthentication::certificate}}};
inline constexpr Names<IkeProfile, 2> kIkeProfileNames{
    {{"modern", IkeProfile::modern}, {"rras-legacy", IkeProfile::rras_legacy}}};
inline constexpr Names<IkeEncryption, 6> kIkeEncryptionNames{
    {{"AES128", IkeEncryption::aes128},
     {"AES192", IkeEncryption::aes192},
     {"AES256", IkeEncryption::aes256},
     {"GCMAES128", IkeEncryption::gcm_aes128},
     {"GCMAES256", IkeEncryption::gcm_aes256},
     {"DES3", IkeEncryption::des3}}};
inline constexpr Names<IkeIntegrity, 3> kIkeIntegrityNames{{{"SHA1", IkeIntegrity::sha1},
                                                            {"SHA256", IkeIntegrity::sha256},
                                                            {"SHA384", IkeIntegrity::sha384}}};
inline constexpr Names<DhGroup, 4> kDhGroupNames{{{"Group2", DhGroup::group2},
                                                  {"Group14", DhGroup::group14},
                                                  {"ECP256", DhGroup::ecp256},
                                                  {"ECP384", DhGroup::ecp384}}};
inline constexpr Names<EspCipher, 8> kEspCipherNames{
    {{"DES3", EspCipher::des3},
     {"AES128", EspCipher::aes128},
     {"AES192", EspCipher::aes192},
     {"AES256", EspCipher::aes256},
     {"GCMAES128", EspCipher::gcm_aes128},
     {"GCMAES192", EspCipher::gcm_aes192},
     {"GCMAES256", EspCipher::gcm_aes256},
     {"CHACHA20POLY1305", EspCipher::chacha20_poly1305}}};
inline constexpr Names<EspAuthentication, 7> kEspAuthenticationNames{
    {{"SHA196", EspAuthentication::sha1_96},
     {"SHA256128", EspAuthentication::sha256_128},
     {"SHA384192", EspAuthentication::sha384_192},
     {"SHA512256", EspAuthentication::sha512_256},
     {"GCMAES128", EspAuthentication::gcm_aes128},
     {"GCMAES192", EspAuthentication::gcm_aes192},
     {"GCMAES256", EspAuthentication::gcm_aes256}}};
inline constexpr Names<ForwardSecrecy, 6> kForwardSecrecyNames{
    {{"None", ForwardSecrecy::none},
     {"PFS2", ForwardSecrecy::pfs2},
     {"PFS2048", ForwardSecrecy::pfs2048},
     {"ECP256", ForwardSecrecy::ecp256},
     {"ECP384", ForwardSecrecy::ecp384},
     {"PFSMM", ForwardSecrecy::main_mode}}};
inline constexpr Names<Initiation, 3> kInitiationNames{{{"onStart", Initiation::on_start},
                                                        {"onDemand", Initiation::on_demand},
                                                        {"never", Initiation::never}}};
inline constexpr Names<Revocation, 3> kRevocationNames{
    {{"off", Revocation::off}, {"ifUri", Revocation::if_uri}, {"strict", Revocation::strict}}};
inline constexpr Names<UdpEncapsulation, 2> kUdpEncapsulationNames{
    {{"automatic", UdpEncapsulation::automatic}, {"forced", UdpEncapsulation::forced}}};
inline constexpr Names<AdminStatus, 2> kAdminStatusNames{
    {{"Enabled", AdminStatus::enabled}, {"Disabled", AdminStatus::disabled}}};
inline constexpr Names<IkeInstance, 2> kIkeInstanceNames{
    {{"shared", IkeInstance::shared}, {"dedicated", IkeInstance::dedicated}}};

// IKE. Whoever names one algorithm gets exactly one proposal, its other parts the profile's first.
struct MainModeSpec {
  std::optional<IkeEncryption> encryption_algorithm;
  std::optional<IkeIntegrity> integrity_algorithm;
  std::optional<DhGroup> diffie_hellman_group;
  uint32_t sa_life_time_seconds = 28'800;  // 300..86400
  // Kept as the Network Controller pushes it. It has no effect: an IKE SA carries no packets.
  std::optional<uint32_t> sa_life_time_kilo_bytes;
  friend bool operator==(const MainModeSpec&, const MainModeSpec&) = default;
};

// ESP; likewise.
struct QuickModeSpec {
  std::optional<EspCipher> cipher_transformation_constant;
  std::optional<EspAuthentication> authentication_transformation_constant;
  std::optional<ForwardSecrecy> perfect_forward_secrecy;
  uint32_t sa_life_time_seconds = 3'600;          // 300..86400
  uint32_t sa_life_time_kilo_bytes = 33'553'408;  // 1024.. ; 1,024 bytes each
  // Of a tunnel that does not start by itself (on_demand, never); 60..86400, 0: stays. Default:
  // RRAS's 500 on demand, else 0.
  std::optional<uint32_t> idle_disconnect_seconds;
  friend bool operator==(const QuickModeSpec&, const QuickModeSpec&) = default;
};

// What may pass on one side (RFC 7296 §3.13.1), both ends included.
struct VpnTrafficSelector {
  IpAddress<Space::customer> ip_address_start;
  IpAddress<Space::customer> ip_address_end;
  uint8_t protocol_id = 0;  // 0: any
  uint16_t port_start = 0;
  uint16_t port_end = 65'535;
  friend bool operator==(const VpnTrafficSelector&, const VpnTrafficSelector&) = default;
};

// PEM texts; one each unless it says chain.
struct TunnelCertificates {
  std::string certificate;
  std::vector<std::string> chain;  // between ours and what the site trusts
  SharedSecret private_key;
  std::vector<std::string> certificate_authorities;  // that may vouch for the site: at least one
  std::vector<std::string> revocation_lists;
  Revocation revocation = Revocation::if_uri;
  friend bool operator==(const TunnelCertificates&, const TunnelCertificates&) = default;
};

struct TunnelSpec {
  IpAddress<Space::external> source_ip_address;  // one of the gateway's VPN addresses
  // Absent: a site whose address is not known; it initiates.
  std::optional<IpAddress<Space::external>> destination_ip_address;
  // An IP address, a domain name, user@domain, or with certificates a distinguished name. Default:
  // the address of that side.
  std::string local_identity;
  std::string remote_identity;
  IkeAuthentication authentication_method = IkeAuthentication::psk;
  // An empty secret here and below is one that the operator took away (null); none at all is one
  // that was not mentioned, and the stored one stays (with_stored_secrets).
  SharedSecret shared_secret;
  TunnelCertificates certificates;
  IkeProfile profile = IkeProfile::modern;
  MainModeSpec main_mode;
  QuickModeSpec quick_mode;
  // Empty: everything, of both families.
  std::vector<VpnTrafficSelector> local_traffic_selectors;
  std::vector<VpnTrafficSelector> remote_traffic_selectors;
  uint32_t outbound_kilobits_per_second = 5'120;  // inner IP bytes; 0: no limit
  uint32_t inbound_kilobits_per_second = 5'120;
  // What may come at once beyond the rate: 10,000 to 2^30 bytes. Default: 50 ms at that rate, and
  // 10,000 at least; more would be seen in a rate that is measured over ten seconds.
  std::optional<uint32_t> outbound_burst_bytes;
  std::optional<uint32_t> inbound_burst_bytes;
  Initiation initiation = Initiation::on_start;
  uint32_t number_of_tries = 3;               // 0: for ever
  uint32_t retry_interval_seconds = 60;       // 1..3600
  uint32_t network_outage_time_seconds = 15;  // 2..3600; how long the site may be silent
  UdpEncapsulation udp_encapsulation = UdpEncapsulation::automatic;
  IkeInstance ike_instance = IkeInstance::shared;
  AdminStatus admin_status = AdminStatus::enabled;
  friend bool operator==(const TunnelSpec&, const TunnelSpec&) = default;
};

// The identity of each side: what was given, or the address. Names are in lower case, addresses in
// their canonical form, so that equal identities are equal texts.
[[nodiscard]] std::string local_identity(const TunnelSpec& spec);
[[nodiscard]] std::string remote_identity(const TunnelSpec& spec);
[[nodiscard]] uint32_t idle_disconnect_seconds(const TunnelSpec& spec);

// Bytes that may come at once at this rate: what was given, or the default.
[[nodiscard]] uint32_t burst_bytes(const std::optional<uint32_t>& given, uint32_t kilobits);

// A PUT's spec with the secrets that it does not mention: those of `before` (null: there was none)
// that its authentication method still uses. Secrets that were taken away are absent afterwards.
[[nodiscard]] TunnelSpec with_stored_secrets(TunnelSpec spec, const TunnelSpec* before);

// Whether secrets that are not mentioned may be stored, so that their absence is no fault.
enum class StoredSecrets : uint8_t { none, perhaps };

// Everything that is wrong with a tunnel by itself; empty when it is good. Targets are JSON
// pointers into the network connection.
[[nodiscard]] std::vector<ErrorDetail> check(const TunnelSpec& spec,
                                             StoredSecrets stored = StoredSecrets::none);

// The identities of the tunnels of one charon. charon looks for a shared secret by the identity
// that the site claims, for whatever connection: among tunnels with PSK the remote identity must be
// unique by itself, or one tenant's secret would open another's tunnel. And a site that connects
// anew ends what has the same pair of identities (INITIAL_CONTACT, RFC 7296 §2.4): pairs are
// unique, too. A value; copies share.
class TunnelIdentities {
 public:
  // A conflict changes nothing. Its error says the ways out, and not whose the other tunnel is:
  // that may be another tenant's.
  [[nodiscard]] Result<void> add(uint32_t tunnel, const TunnelSpec& spec);
  void remove(uint32_t tunnel);

 private:
  struct Ids {
    std::string local, remote;
    IkeAuthentication method = IkeAuthentication::psk;
  };
  CowMap<uint32_t, Ids> by_tunnel_;
  CowMap<std::string, uint32_t> psk_remotes_;
  CowMap<std::pair<std::string, std::string>, uint32_t> pairs_;
};

}  // namespace hnv
