// SPDX-License-Identifier: Apache-2.0
//
// Random requests, good and bad, over few names so that they clash often.
#pragma once

#include <random>
#include <string>

#include <fmt/format.h>

namespace hnv {

class RandomChange {
 public:
  explicit RandomChange(unsigned seed) : random_(seed) {}

  [[nodiscard]] unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  // Method and path are owned by the caller's deque-free strings: a body of its own each time.
  struct Text {
    std::string method, path, body;
  };
  Text next() {
    const std::string domain = fmt::format("/v1/routingDomains/d{}", below(3));
    const std::string subnet = fmt::format("{}/virtualSubnets/s{}", domain, below(4));
    const std::string method = below(3) == 0 ? "DELETE" : "PUT";
    switch (below(12)) {
      case 0:
        return {method, fmt::format("/v1/providerNetworks/p{}", below(3)), provider_network()};
      case 1:
        return {method, fmt::format("/v1/externalNetworks/e{}", below(2)),
                fmt::format(R"({{"port":"wan0","vlanId":{},"publicAddressPrefixes":["{}"]}})",
                            below(4), below(4) == 0 ? "203.0.113.0/29" : "203.0.113.0/28")};
      case 2:
        return {method, domain, fmt::format(R"({{"limits":{{"routes":{}}}}})", 2 + below(4))};
      case 3:
      case 4:
        return {method, subnet, virtual_subnet()};
      case 5: {
        const std::string ca = fmt::format("10.{}.0.{}", below(4), 4 + below(3));
        return {method, fmt::format("{}/lookupRecords/{}", subnet, ca), record(ca)};
      }
      case 6:
        return {method, fmt::format("{}/customerRoutes/r{}", domain, below(4)), route()};
      case 7:
      case 8:
        return {method, fmt::format("/v1/publicIPAddresses/a{}", below(3)), pool()};
      case 9:
      case 10:
        return {method, domain + "/nat", nat()};
      default:
        return {method, fmt::format("{}/networkConnections/c{}", domain, below(2)), connection()};
    }
  }

 private:
  std::string provider_network() {
    return fmt::format(
        R"({{"port":"fabric0","vlanId":{},"providerAddresses":["192.0.2.{}/24"{}]}})", below(4),
        1 + below(2), below(2) == 0 ? "" : R"(,"198.51.100.1/24")");
  }
  std::string virtual_subnet() {
    const std::string vsid =
        below(2) == 0 ? "" : fmt::format(R"("virtualSubnetId":{},)", 4096 + below(6));
    return fmt::format(
        R"({{{}"addressPrefixes":["10.{}.0.0/{}"],"kind":"{}","router":"{}","providerNetwork":"p{}"}})",
        vsid, below(4), below(4) == 0 ? 25 : 24, below(2) == 0 ? "vm" : "gateway",
        below(3) == 0 ? "gateway" : "distributed", below(3));
  }
  std::string record(const std::string& ca) {
    return fmt::format(
        R"({{"customerAddress":"{}","providerAddress":"{}.{}","macAddress":"02:00:5e:00:00:04"}})",
        ca, below(3) == 0 ? "198.51.100" : "192.0.2", 1 + below(4));
  }
  std::string route() {
    const std::string prefix = fmt::format("172.{}.0.0/16", 20 + below(3));
    if (below(2) == 0) {
      return fmt::format(R"({{"destinationPrefix":"{}","networkConnection":"c{}"}})", prefix,
                         below(2));
    }
    return fmt::format(R"({{"destinationPrefix":"{}","nextHop":"10.{}.0.{}"}})", prefix, below(4),
                       1 + below(5));
  }
  std::string connection() {
    const std::string where = below(2) == 0 ? fmt::format(R"("externalNetwork":"e{}")", below(2))
                                            : fmt::format(R"("port":"wan0","vlanId":{})", below(4));
    return fmt::format(
        R"({{"connectionType":"L3","l3Configuration":{{{},"ipAddresses":["10.{}.0.9/24"],
            "peerIPAddresses":["10.{}.0.1"]}},"routes":[{{"destinationPrefix":"0.0.0.0/0"}}]}})",
        where, 2 + below(4), 2 + below(4));
  }
  std::string public_addresses() {
    return fmt::format("203.0.113.{}/{}", below(4) * 4, 30 + below(2));
  }
  std::string port_range() {
    const unsigned first = 1024 + 1000 * below(3);
    return fmt::format(R"("portRange":{{"first":{},"last":{}}})", first,
                       first + 1000 * below(3) + 500);
  }
  std::string pool() {
    const std::string owner =
        below(3) == 0 ? fmt::format(R"(,"routingDomain":"d{}")", below(3)) : "";
    return fmt::format(R"({{"externalNetwork":"e{}","publicIPAddresses":["{}"],{}{}}})", below(2),
                       public_addresses(), port_range(), owner);
  }
  std::string nat() {
    const std::string rule =
        below(2) == 0
            ? fmt::format(R"("pool":"a{}"{})", below(3), below(3) == 0 ? "," + port_range() : "")
            : fmt::format(R"("externalNetwork":"e{}","publicAddresses":["{}"],{})", below(2),
                          public_addresses(), port_range());
    const std::string mapping =
        below(3) == 0 ? R"("protocol":"All")"
                      : fmt::format(R"("protocol":"{}","publicPort":{},"insidePort":80)",
                                    below(2) == 0 ? "TCP" : "UDP", 1000 + 500 * below(4));
    return fmt::format(
        R"({{"destinationPrefixes":["0.0.0.0/0"],"excludePrefixes":[{}],
            "outboundRules":[{}],"staticMappings":[{}]}})",
        below(2) == 0 ? "" : R"("10.0.0.0/8")",
        below(4) == 0 ? "" : fmt::format(R"({{"name":"out",{}}})", rule),
        below(3) == 0 ? ""
                      : fmt::format(R"({{"name":"in","externalNetwork":"e{}",
                            "publicAddress":"203.0.113.{}","insideAddress":"10.{}.0.{}",{}}})",
                                    below(2), below(16), below(4), 1 + below(4), mapping));
  }

  std::mt19937 random_;
};

}  // namespace hnv
