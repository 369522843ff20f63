// SPDX-License-Identifier: Apache-2.0
//
// Writes the corpus of fuzz_classify: the first case of every drop reason and every case that is
// answered or forwarded, from the tables of tests/gateway.
//
//   ninja hnv_seeds && tests/fuzz/hnv_seeds tests/fuzz/corpus/classify
#include <cctype>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "tests/gateway/line_cases.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: hnv_seeds FOLDER\n", stderr);
    return 2;
  }
  std::set<hnv::DropReason> seen;
  for (const auto& table : hnv::all_case_tables()) {
    for (const hnv::LineCase& c : table) {
      if (c.out == nullptr && c.drop && !seen.insert(*c.drop).second) continue;
      std::string name;
      for (const char* at = c.name; *at != 0 && name.size() < 40; ++at) {
        const bool plain = std::isalnum(static_cast<unsigned char>(*at)) != 0;
        if (plain || (!name.empty() && name.back() != '-')) name += plain ? *at : '-';
      }
      const hnv::Bytes frame = c.in(hnv::kContoso).bytes();
      std::ofstream file(std::string(argv[1]) + "/" + name, std::ios::binary);
      file.put(static_cast<char>(c.port));
      file.write(reinterpret_cast<const char*>(frame.data()),
                 static_cast<std::streamsize>(frame.size()));
    }
  }
  return 0;
}
