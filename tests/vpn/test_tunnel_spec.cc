// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "tests/vpn/tunnels.h"

namespace hnv {
namespace {

std::string targets(const TunnelSpec& spec) {
  std::string out;
  for (const ErrorDetail& fault : check(spec)) {
    EXPECT_FALSE(fault.message.empty());
    out +=
        (out.empty() ? "" : " ") + fault.target.substr(std::string("/ipSecConfiguration/").size());
  }
  return out;
}

TEST(TunnelSpec, DefaultsAreGoodAndRras) {
  EXPECT_EQ(targets(psk_tunnel()), "");
  EXPECT_EQ(targets(certificate_tunnel()), "");
  const TunnelSpec spec = psk_tunnel();
  EXPECT_EQ(spec.outbound_kilobits_per_second, 5'120U);
  EXPECT_EQ(spec.inbound_kilobits_per_second, 5'120U);
  EXPECT_EQ(spec.main_mode.sa_life_time_seconds, 28'800U);
  EXPECT_EQ(spec.quick_mode.sa_life_time_seconds, 3'600U);
  EXPECT_EQ(spec.quick_mode.sa_life_time_kilo_bytes, 33'553'408U);
  EXPECT_EQ(spec.number_of_tries, 3U);
  EXPECT_EQ(spec.retry_interval_seconds, 60U);
  EXPECT_EQ(spec.network_outage_time_seconds, 15U);
}

struct Fault {
  const char* name;
  std::function<void(TunnelSpec&)> spoil;
  const char* target;
};

const Fault kFaults[] = {
    {"no source", [](TunnelSpec& s) { s.source_ip_address = {}; }, "sourceIPAddress"},
    {"0.0.0.0 as the site",
     [](TunnelSpec& s) { s.destination_ip_address = IpAddress<Space::external>(); },
     "destinationIPAddress"},
    {"itself as the site", [](TunnelSpec& s) { s.destination_ip_address = s.source_ip_address; },
     "destinationIPAddress"},
    {"two families",
     [](TunnelSpec& s) {
       s.destination_ip_address = IpAddress<Space::external>::parse("2001:db8::1");
     },
     "destinationIPAddress"},
    {"no site that we could begin with", [](TunnelSpec& s) { s.destination_ip_address.reset(); },
     "initiate"},
    {"nothing to tell a site by",
     [](TunnelSpec& s) {
       s.destination_ip_address.reset();
       s.initiation = Initiation::never;
       s.remote_identity.clear();
     },
     "remoteIdentity"},
    {"any identity", [](TunnelSpec& s) { s.remote_identity = "%any"; }, "remoteIdentity"},
    {"0.0.0.0 as identity", [](TunnelSpec& s) { s.remote_identity = "0.0.0.0"; }, "remoteIdentity"},
    {":: as identity", [](TunnelSpec& s) { s.remote_identity = "::"; }, "remoteIdentity"},
    {"a pattern", [](TunnelSpec& s) { s.remote_identity = "*.example"; }, "remoteIdentity"},
    {"a key id", [](TunnelSpec& s) { s.remote_identity = "@#0102"; }, "remoteIdentity"},
    {"a typed identity", [](TunnelSpec& s) { s.remote_identity = "fqdn:*"; }, "remoteIdentity"},
    {"a line break", [](TunnelSpec& s) { s.remote_identity = "a\nb"; }, "remoteIdentity"},
    {"a long identity", [](TunnelSpec& s) { s.local_identity = std::string(256, 'a'); },
     "localIdentity"},
    {"a distinguished name with a secret",
     [](TunnelSpec& s) { s.remote_identity = "CN=site, O=contoso"; }, "remoteIdentity"},
    {"no secret", [](TunnelSpec& s) { s.shared_secret = SharedSecret(); }, "sharedSecret"},
    {"a short secret",
     [](TunnelSpec& s) { s.shared_secret = SharedSecret(SecretBytes::of("short")); },
     "sharedSecret"},
    {"certificates beside a secret",
     [](TunnelSpec& s) { s.certificates.certificate = pem_text("CERTIFICATE"); }, "certificates"},
    {"main mode for a day and a second",
     [](TunnelSpec& s) { s.main_mode.sa_life_time_seconds = 86'401; },
     "mainMode/saLifeTimeSeconds"},
    {"quick mode for seconds", [](TunnelSpec& s) { s.quick_mode.sa_life_time_seconds = 299; },
     "quickMode/saLifeTimeSeconds"},
    {"quick mode for some packets", [](TunnelSpec& s) { s.quick_mode.sa_life_time_kilo_bytes = 1; },
     "quickMode/saLifeTimeKiloBytes"},
    {"idle for a second", [](TunnelSpec& s) { s.quick_mode.idle_disconnect_seconds = 1; },
     "quickMode/idleDisconnectSeconds"},
    {"group 2 in a modern profile",
     [](TunnelSpec& s) { s.main_mode.diffie_hellman_group = DhGroup::group2; },
     "mainMode/diffieHellmanGroup"},
    {"3DES in a modern profile",
     [](TunnelSpec& s) { s.quick_mode.cipher_transformation_constant = EspCipher::des3; },
     "quickMode/cipherTransformationConstant"},
    {"GCM with a hash",
     [](TunnelSpec& s) {
       s.quick_mode.cipher_transformation_constant = EspCipher::gcm_aes256;
       s.quick_mode.authentication_transformation_constant = EspAuthentication::sha256_128;
     },
     "quickMode/authenticationTransformationConstant"},
    {"AES-CBC with GCM",
     [](TunnelSpec& s) {
       s.quick_mode.cipher_transformation_constant = EspCipher::aes256;
       s.quick_mode.authentication_transformation_constant = EspAuthentication::gcm_aes256;
     },
     "quickMode/authenticationTransformationConstant"},
    {"a selector backwards",
     [](TunnelSpec& s) {
       s.local_traffic_selectors = {{CaAddress(0x0a000002), CaAddress(0x0a000001)}};
     },
     "localVpnTrafficSelector/0/ipAddressEnd"},
    {"ports of ICMP",
     [](TunnelSpec& s) {
       s.remote_traffic_selectors = {{CaAddress(1), CaAddress(2), 1, 80, 80}};
     },
     "remoteVpnTrafficSelector/0/portStart"},
    {"no retry", [](TunnelSpec& s) { s.retry_interval_seconds = 0; }, "retryIntervalSeconds"},
    {"a second's outage", [](TunnelSpec& s) { s.network_outage_time_seconds = 1; },
     "networkOutageTimeSeconds"},
};

TEST(TunnelSpec, SaysWhereAndWhat) {
  for (const Fault& c : kFaults) {
    TunnelSpec spec = psk_tunnel();
    c.spoil(spec);
    EXPECT_EQ(targets(spec), c.target) << c.name;
  }
}

TEST(TunnelSpec, CertificatesNeedAnAuthorityAKeyAndPem) {
  const Fault cases[] = {
      {"a secret too",
       [](TunnelSpec& s) { s.shared_secret = SharedSecret(SecretBytes::of("swordfish")); },
       "sharedSecret"},
      {"no authority", [](TunnelSpec& s) { s.certificates.certificate_authorities.clear(); },
       "certificates/certificateAuthorities"},
      {"no key", [](TunnelSpec& s) { s.certificates.private_key = SharedSecret(); },
       "certificates/privateKey"},
      {"a certificate as key",
       [](TunnelSpec& s) {
         s.certificates.private_key = SharedSecret(SecretBytes::of(pem_text("CERTIFICATE")));
       },
       "certificates/privateKey"},
      {"a key as certificate",
       [](TunnelSpec& s) { s.certificates.certificate = pem_text("PRIVATE KEY"); },
       "certificates/certificate"},
      {"two certificates in one",
       [](TunnelSpec& s) {
         s.certificates.chain = {pem_text("CERTIFICATE") + pem_text("CERTIFICATE")};
       },
       "certificates/chain/0"},
      {"a certificate as CRL",
       [](TunnelSpec& s) { s.certificates.revocation_lists = {pem_text("CERTIFICATE")}; },
       "certificates/revocationLists/0"},
  };
  for (const Fault& c : cases) {
    TunnelSpec spec = certificate_tunnel();
    c.spoil(spec);
    EXPECT_EQ(targets(spec), c.target) << c.name;
  }
  TunnelSpec named = certificate_tunnel("CN=site, O=contoso");
  EXPECT_EQ(targets(named), "");
}

TEST(TunnelSpec, AllFaultsAtOnce) {
  TunnelSpec spec = psk_tunnel("%any");
  spec.shared_secret = SharedSecret();
  spec.main_mode.sa_life_time_seconds = 1;
  EXPECT_EQ(targets(spec), "remoteIdentity sharedSecret mainMode/saLifeTimeSeconds");
}

TEST(TunnelSpec, TheLegacyProfileTakesWhatTheModernRefuses) {
  TunnelSpec spec = psk_tunnel();
  spec.profile = IkeProfile::rras_legacy;
  spec.main_mode.diffie_hellman_group = DhGroup::group2;
  spec.main_mode.integrity_algorithm = IkeIntegrity::sha1;
  spec.quick_mode.cipher_transformation_constant = EspCipher::des3;
  spec.quick_mode.perfect_forward_secrecy = ForwardSecrecy::pfs2;
  EXPECT_EQ(targets(spec), "");
}

TEST(TunnelSpec, EqualIdentitiesAreEqualTexts) {
  TunnelSpec spec = psk_tunnel("Site.Contoso.EXAMPLE");
  EXPECT_EQ(remote_identity(spec), "site.contoso.example");
  EXPECT_EQ(local_identity(spec), "203.0.113.1");
  spec.remote_identity = "2001:DB8:0:0::1";
  EXPECT_EQ(remote_identity(spec), "2001:db8::1");
  spec.remote_identity.clear();
  EXPECT_EQ(remote_identity(spec), "198.51.100.10");
}

TEST(TunnelSpec, IdleOnDemandIsRrass) {
  TunnelSpec spec = psk_tunnel();
  EXPECT_EQ(idle_disconnect_seconds(spec), 0U);
  spec.initiation = Initiation::on_demand;
  EXPECT_EQ(idle_disconnect_seconds(spec), 500U);
  spec.quick_mode.idle_disconnect_seconds = 0;
  EXPECT_EQ(idle_disconnect_seconds(spec), 0U);
}

// facts: a secret is found by the identity that the site claims, for whatever connection.
TEST(TunnelIdentities, ARemoteIdentityHasOneSecret) {
  TunnelIdentities ids;
  ASSERT_TRUE(ids.add(1, psk_tunnel("siteX")));
  TunnelSpec second = psk_tunnel("SITEx");
  second.local_identity = "gwB";
  second.source_ip_address = Ip4<Space::external>(0xcb007102);
  const auto refused = ids.add(2, second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().message.find("use certificates"), std::string::npos);
  EXPECT_EQ(refused.error().target, "/ipSecConfiguration/remoteIdentity");
  ids.remove(1);
  EXPECT_TRUE(ids.add(2, second));
}

TEST(TunnelIdentities, TwoSitesAtOneAddressWithIdentitiesOfTheirOwn) {
  TunnelIdentities ids;
  EXPECT_TRUE(ids.add(1, psk_tunnel("site.contoso.example")));
  EXPECT_TRUE(ids.add(2, psk_tunnel("site.fabrikam.example")));
  // Both by address: RRAS's hard limit, and ours without identities.
  EXPECT_TRUE(ids.add(3, psk_tunnel("")));
  EXPECT_FALSE(ids.add(4, psk_tunnel("")));
}

TEST(TunnelIdentities, PairsAreUniqueWithCertificatesToo) {
  TunnelIdentities ids;
  ASSERT_TRUE(ids.add(1, certificate_tunnel("siteX")));
  EXPECT_FALSE(ids.add(2, certificate_tunnel("siteX")));
  TunnelSpec other = certificate_tunnel("siteX");
  other.local_identity = "gwB.example";
  EXPECT_TRUE(ids.add(2, other));
}

TEST(TunnelIdentities, ATunnelMayChangeAndARefusalChangesNothing) {
  TunnelIdentities ids;
  ASSERT_TRUE(ids.add(1, psk_tunnel("one")));
  ASSERT_TRUE(ids.add(2, psk_tunnel("two")));
  EXPECT_TRUE(ids.add(1, psk_tunnel("one")));
  EXPECT_FALSE(ids.add(1, psk_tunnel("two")));
  EXPECT_FALSE(ids.add(3, psk_tunnel("one"))) << "the first still has it";
  EXPECT_TRUE(ids.add(1, psk_tunnel("three")));
  EXPECT_TRUE(ids.add(3, psk_tunnel("one")));
}

}  // namespace
}  // namespace hnv
