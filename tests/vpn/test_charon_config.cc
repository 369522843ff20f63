// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/vpn/tunnels.h"
#include "vpn/charon_config.h"

namespace hnv {
namespace {

using Texts = std::vector<std::string>;

Texts names(const std::vector<CharonCommand>& commands) {
  Texts out;
  for (const CharonCommand& command : commands) out.push_back(command.name);
  return out;
}

const ViciSection& child(const ViciSection& connection) {
  return *connection.section("children")->section("t7");
}

TEST(CharonConfig, ASharedSecretBelongsToTheRemoteIdentityOnly) {
  CharonConfig config;
  const auto commands = config.set(7, psk_tunnel());
  ASSERT_EQ(names(commands), (Texts{"load-shared", "load-conn"}));
  EXPECT_EQ(*commands[0].message.list("owners"), Texts{"site.contoso.example"});
  EXPECT_EQ(*commands[0].message.value("id"), "t7");
  EXPECT_EQ(to_string(commands[0].message),
            "{id=t7 type=IKE data=*** owners=[site.contoso.example]}");
}

TEST(CharonConfig, AConnectionIsTunnelOnlyWithItsNumber) {
  const ViciSection message = connection_message(7, psk_tunnel());
  EXPECT_EQ(*message.value("version"), "2");
  EXPECT_EQ(*message.list("local_addrs"), Texts{"203.0.113.1"});
  EXPECT_EQ(*message.list("remote_addrs"), Texts{"198.51.100.10"});
  EXPECT_EQ(*message.section("local")->value("id"), "203.0.113.1");
  EXPECT_EQ(*message.section("remote")->value("id"), "site.contoso.example");
  EXPECT_EQ(*message.value("rekey_time"), "25920s");
  EXPECT_EQ(*message.value("over_time"), "2880s");
  EXPECT_EQ(*message.value("dpd_delay"), "7s");
  EXPECT_EQ(*child(message).value("if_id_in"), "7");
  EXPECT_EQ(*child(message).value("if_id_out"), "7");
  EXPECT_EQ(*child(message).value("policies"), "no");
  EXPECT_EQ(*child(message).value("mode"), "tunnel");
  EXPECT_EQ(*child(message).value("life_time"), "3600s");
  EXPECT_EQ(*child(message).value("rekey_time"), "3240s");
  EXPECT_EQ(*child(message).value("life_bytes"), "34358689792");
  EXPECT_EQ(*child(message).list("local_ts"), (Texts{"0.0.0.0/0", "::/0"}));
  EXPECT_EQ(*child(message).value("close_action"), "start");
  EXPECT_EQ(child(message).value("inactivity"), nullptr);
}

TEST(CharonConfig, ASiteWithoutAddressMayComeFromAnywhere) {
  TunnelSpec spec = psk_tunnel();
  spec.destination_ip_address.reset();
  spec.initiation = Initiation::never;
  const ViciSection message = connection_message(7, spec);
  EXPECT_EQ(*message.list("remote_addrs"), Texts{"%any"});
  EXPECT_EQ(*message.section("remote")->value("id"), "site.contoso.example");
  EXPECT_EQ(*child(message).value("close_action"), "none");
}

TEST(CharonConfig, OnDemandEndsWhenIdle) {
  TunnelSpec spec = psk_tunnel();
  spec.initiation = Initiation::on_demand;
  EXPECT_EQ(*child(connection_message(7, spec)).value("inactivity"), "500s");
}

TEST(CharonConfig, SelectorsAreRangesWithPorts) {
  TunnelSpec spec = psk_tunnel();
  spec.local_traffic_selectors = {{CaAddress(0x0a010000), CaAddress(0x0a0100ff)},
                                  {CaAddress(0x0a010001), CaAddress(0x0a010001), 6, 80, 80}};
  spec.remote_traffic_selectors = {{CaAddress(0x0a020000), CaAddress(0x0a0200ff), 17, 53, 60},
                                   {CaAddress(0x0a030000), CaAddress(0x0a0300ff), 1}};
  const ViciSection message = connection_message(7, spec);
  EXPECT_EQ(*child(message).list("local_ts"), (Texts{"10.1.0.0-10.1.0.255", "10.1.0.1[6/80]"}));
  EXPECT_EQ(*child(message).list("remote_ts"),
            (Texts{"10.2.0.0-10.2.0.255[17/53-60]", "10.3.0.0-10.3.0.255[1]"}));
}

TEST(CharonConfig, CertificatesNameTheirAuthorities) {
  CharonConfig config;
  TunnelSpec spec = certificate_tunnel();
  spec.certificates.revocation = Revocation::strict;
  spec.certificates.revocation_lists = {pem_text("X509 CRL")};
  const auto commands = config.set(7, spec);
  ASSERT_EQ(names(commands),
            (Texts{"load-cert", "load-cert", "flush-certs", "load-key", "load-conn"}));
  EXPECT_EQ(*commands[0].message.value("flag"), "CA");
  EXPECT_EQ(*commands[1].message.value("type"), "X509_CRL");
  // Or charon would go on with the list that it used before this one.
  EXPECT_EQ(*commands[2].message.value("type"), "X509_CRL");
  EXPECT_EQ(commands[3].key_of, 7U);
  const ViciSection& remote = *commands[4].message.section("t7")->section("remote");
  EXPECT_EQ(*remote.value("auth"), "pubkey");
  EXPECT_EQ(*remote.list("cacerts"), Texts{pem_text("CERTIFICATE")});
  EXPECT_EQ(*remote.value("revocation"), "strict");
  EXPECT_EQ(*commands[4].message.section("t7")->section("local")->list("certs"),
            Texts{pem_text("CERTIFICATE")});
}

TEST(CharonConfig, OnlyWhatCharonSeesIsTold) {
  CharonConfig config;
  (void)config.set(7, psk_tunnel());
  EXPECT_TRUE(config.set(7, psk_tunnel()).empty());
  TunnelSpec rates = psk_tunnel();
  rates.outbound_kilobits_per_second = 0;
  rates.number_of_tries = 0;
  EXPECT_TRUE(config.set(7, rates).empty());
  EXPECT_EQ(config.find(7)->outbound_kilobits_per_second, 0U);
  TunnelSpec secret = rates;
  secret.shared_secret = SharedSecret(SecretBytes::of("another one"));
  EXPECT_EQ(names(config.set(7, secret)),
            (Texts{"unload-conn", "terminate", "unload-shared", "load-shared", "load-conn"}));
}

TEST(CharonConfig, RemovingUndoesEverything) {
  CharonConfig config;
  (void)config.set(7, psk_tunnel());
  EXPECT_EQ(names(config.remove(7)), (Texts{"unload-conn", "terminate", "unload-shared"}));
  EXPECT_TRUE(config.remove(7).empty());
  EXPECT_TRUE(config.everything().empty());
}

TEST(CharonConfig, AKeyGoesWithItsLastTunnel) {
  CharonConfig config;
  (void)config.set(7, certificate_tunnel("one"));
  (void)config.set(8, certificate_tunnel("two"));
  config.key_loaded(7, "abcd");
  config.key_loaded(8, "abcd");
  EXPECT_EQ(names(config.remove(7)), (Texts{"unload-conn", "terminate"}));
  const auto last = config.remove(8);
  ASSERT_EQ(names(last), (Texts{"unload-conn", "terminate", "unload-key"}));
  EXPECT_EQ(*last[2].message.value("id"), "abcd");
}

TEST(CharonConfig, ADisabledTunnelIsNotThere) {
  CharonConfig config;
  (void)config.set(7, psk_tunnel());
  TunnelSpec disabled = psk_tunnel();
  disabled.admin_status = AdminStatus::disabled;
  EXPECT_EQ(names(config.set(7, disabled)), (Texts{"unload-conn", "terminate", "unload-shared"}));
  EXPECT_EQ(config.find(7), nullptr);
}

TEST(CharonConfig, ACharonThatHasNothingIsToldEverything) {
  CharonConfig config;
  (void)config.set(7, psk_tunnel("one"));
  (void)config.set(8, certificate_tunnel("two"));
  EXPECT_EQ(names(config.everything()),
            (Texts{"load-shared", "load-conn", "load-cert", "load-key", "load-conn"}));
}

TEST(CharonConfig, ProposalsFollowTheProfileOrTheOperator) {
  TunnelSpec spec = psk_tunnel();
  EXPECT_EQ(ike_proposals(spec).front(), "aes256gcm16-prfsha384-ecp384");
  EXPECT_EQ(esp_proposals(spec).front(), "aes256gcm16-ecp384-esn-noesn");
  spec.main_mode.encryption_algorithm = IkeEncryption::aes256;
  spec.main_mode.integrity_algorithm = IkeIntegrity::sha256;
  spec.main_mode.diffie_hellman_group = DhGroup::group14;
  EXPECT_EQ(ike_proposals(spec), Texts{"aes256-sha256-modp2048"});
  spec.main_mode = {};
  spec.main_mode.diffie_hellman_group = DhGroup::ecp256;
  EXPECT_EQ(ike_proposals(spec), Texts{"aes256gcm16-prfsha384-ecp256"});
  spec.quick_mode.cipher_transformation_constant = EspCipher::aes256;
  EXPECT_EQ(esp_proposals(spec), Texts{"aes256-sha256-ecp384"});
  spec.quick_mode.perfect_forward_secrecy = ForwardSecrecy::none;
  EXPECT_EQ(esp_proposals(spec), Texts{"aes256-sha256"});
  spec.quick_mode.perfect_forward_secrecy = ForwardSecrecy::main_mode;
  EXPECT_EQ(esp_proposals(spec), Texts{"aes256-sha256-ecp256"});
  spec.quick_mode.cipher_transformation_constant = EspCipher::gcm_aes128;
  EXPECT_EQ(esp_proposals(spec), Texts{"aes128gcm16-ecp256-esn-noesn"});
}

// The Network Controller's sample.
TEST(CharonConfig, RrassOwnProposals) {
  TunnelSpec spec = psk_tunnel();
  spec.profile = IkeProfile::rras_legacy;
  EXPECT_EQ(ike_proposals(spec).front(), "aes256-sha256-modp1024");
  EXPECT_EQ(esp_proposals(spec).front(), "3des-sha256-modp2048");
  spec.main_mode = {IkeEncryption::aes256, IkeIntegrity::sha256, DhGroup::group2, 1'234, {}};
  spec.quick_mode.cipher_transformation_constant = EspCipher::des3;
  spec.quick_mode.authentication_transformation_constant = EspAuthentication::sha256_128;
  spec.quick_mode.perfect_forward_secrecy = ForwardSecrecy::pfs2048;
  EXPECT_EQ(ike_proposals(spec), Texts{"aes256-sha256-modp1024"});
  EXPECT_EQ(esp_proposals(spec), Texts{"3des-sha256-modp2048"});
}

TEST(CharonConfig, NamesAreNumbers) {
  EXPECT_EQ(charon_name(7), "t7");
  EXPECT_EQ(if_id_of("t7"), 7U);
  for (const char* other : {"", "t", "7", "t7x", "t-7", "contoso", "t99999999999"}) {
    EXPECT_EQ(if_id_of(other), std::nullopt) << other;
  }
}

TEST(CharonConfig, OnlyTheReleasesThatThePluginKnows) {
  EXPECT_TRUE(supported_charon("5.9.8"));
  EXPECT_TRUE(supported_charon("5.9.11"));
  for (const char* other : {"5.9.7", "5.9.12", "6.0.1", "5.9.80", "", "5.9"}) {
    EXPECT_FALSE(supported_charon(other)) << other;
  }
}

TEST(CharonConfig, TheFileMakesThePluginCritical) {
  const std::string conf = strongswan_conf({"/run/x/vici", "/run/x/sa", ""});
  for (const char* line : {"hnv-gateway! { load = 100 }", "socket = unix:///run/x/vici",
                           "install_routes = no", "routing_table = 0", "stderr {", "default = 1"}) {
    EXPECT_NE(conf.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(std::count(conf.begin(), conf.end(), '{'), std::count(conf.begin(), conf.end(), '}'));
  const std::string logged = strongswan_conf({"/run/x/vici", "/run/x/sa", "/run/x/log"});
  EXPECT_NE(logged.find("path = /run/x/log"), std::string::npos);
  EXPECT_EQ(std::count(logged.begin(), logged.end(), '{'),
            std::count(logged.begin(), logged.end(), '}'));
}

}  // namespace
}  // namespace hnv
