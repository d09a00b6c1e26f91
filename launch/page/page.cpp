#include "launch/page/page.h"

#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Series take Okabe and Ito's palette, lightened on a dark ground; contrast with the ground is at least 3 : 1.
constexpr const char* style = R"(
:root{color-scheme:light dark;--ink:#1c2127;--soft:#59626c;--ground:#fff;--raised:#f5f7f9;--line:#d4d9df;--grid:#e6e9ed;
--c0:#1c2127;--c1:#0072b2;--c2:#c4500a;--c3:#007a5a;--c4:#a8457f;--c5:#946200;--c6:#2b7fb8;--c7:#6a51a3;
--F:#56b4e9;--L:#f0e442;--I:#4a8fd0;--W:#2bb38a;--B:#e69f00;--U:#cc79a7;--hatch:#00000066;--bartext:#10151a;--rim:#ffffffb0;--wait:#c8ced5}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#a2abb5;--ground:#14181c;--raised:#1d2329;--line:#3a434c;--grid:#2a3138;
--c0:#e4e8ec;--c1:#58a9e0;--c2:#f08a4b;--c3:#35c79b;--c4:#e08fbf;--c5:#e0ab3c;--c6:#8cc8f0;--c7:#b3a1e6;--wait:#48525c}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#333;--ground:#fff;--raised:#fff;--line:#999;--grid:#ddd;
--c0:#000;--c1:#0072b2;--c2:#c4500a;--c3:#007a5a;--c4:#a8457f;--c5:#946200;--c6:#2b7fb8;--c7:#6a51a3;--wait:#c8ced5}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 20px}
h1{font-size:1.6rem;line-height:1.25;margin:1.2rem 0 .4rem}h2{font-size:1.25rem;margin:2.2rem 0 .6rem;border-top:1px solid var(--line);padding-top:1rem}
h3{font-size:1.05rem;margin:1.4rem 0 .4rem}
p,ul{max-width:78ch;margin:.5rem 0}li{margin:.2rem 0}
.answer{font-size:1.1rem}.note,.soft,footer{color:var(--soft);font-size:.9rem}
a{color:var(--c1)}a:focus-visible,.scroll:focus-visible,summary:focus-visible{outline:3px solid var(--c1);outline-offset:2px}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;list-style:none;padding:0;max-width:none}
.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--ground);padding:6px}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;margin:.6rem 0;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.32rem .55rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
thead th{vertical-align:bottom;white-space:normal;border-bottom:2px solid var(--soft);font-weight:600}
tbody th{text-align:left;font-weight:600;white-space:normal;position:sticky;left:0;background:var(--ground)}thead th:first-child{text-align:left}
tr.reference th,tr.reference td{background:var(--raised)}tr.failed td{color:var(--soft);font-style:italic}
.text td{text-align:left;white-space:normal}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:1.2rem 1.6rem;align-items:start}
figure{margin:0;break-inside:avoid}figure.wide{margin:1rem 0}figcaption{font-weight:600;margin-bottom:.3rem}
svg{width:100%;height:auto;display:block;font-size:12px}svg text{fill:var(--ink);font-family:inherit}
svg .axis{fill:var(--soft)}svg.timeline{min-width:680px;font-size:11px}
.grid{stroke:var(--grid);stroke-width:1}.line{fill:none;stroke-width:1.9;stroke:var(--c)}.mark{fill:var(--c);stroke:var(--ground);stroke-width:.8}
.band{fill:var(--c);opacity:.16;stroke:none}line[class^=s]{stroke:var(--c);stroke-width:1.6}
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}.s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}
.lane{fill:var(--raised)}.bar,.part{stroke:var(--ground);stroke-width:.5}
svg text.rim{fill:var(--bartext);stroke:var(--rim);stroke-width:2.2;paint-order:stroke;stroke-linejoin:round}
code,pre{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.88em;overflow-wrap:anywhere}pre{white-space:pre-wrap;background:var(--raised);padding:.6rem .8rem;max-width:100%}
.defs{position:absolute;width:0;height:0}
@media (max-width:520px){main,header,footer{padding:0 12px}h1{font-size:1.35rem}.answer{font-size:1rem;line-height:1.4}th,td{padding:.28rem .5rem}table{font-size:.86rem}}
@media print{body{font-size:10pt}.scroll{overflow:visible}svg.timeline{min-width:0}h2{break-after:avoid}nav,.skip{display:none}tbody th{position:static}.figures{grid-template-columns:1fr 1fr}table{font-size:7.5pt}th,td{padding:.15rem .3rem;white-space:normal}details>*{display:block}}
)";

std::string hatched(const std::string& id, const std::string& colour, const std::string& hatch) {
  return message(
      "<pattern id=\"", id,
      "\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><rect width=\"8\" height=\"8\" fill=\"var(--",
      colour, ")\"/>",
      hatch.empty() ? "" : "<path d=\"" + hatch + "\" stroke=\"var(--hatch)\" stroke-width=\"1\" fill=\"none\"/>",
      "</pattern>");
}

// What pictures fill their bars with: a hatching for each kind beside its colour.
std::string patterns() {
  return "<svg class=\"defs\" aria-hidden=\"true\"><defs>" + hatched("k-F", "F", "") +
         hatched("k-L", "L", "M4 3.2V4.8") + hatched("k-I", "I", "M0 8L8 0M-1 1L1 -1M7 9L9 7") +
         hatched("k-W", "W", "M0 0L8 8M-1 7L1 9M7 -1L9 1") + hatched("k-B", "B", "M0 4H8") +
         hatched("k-U", "U", "M0 4H8M4 0V8") + hatched("k-wait", "wait", "") + hatched("k-send", "soft", "") +
         hatched("part0", "c1", "") + hatched("part1", "wait", "M0 8L8 0") + hatched("part2", "B", "M0 4H8") +
         hatched("part3", "c4", "M0 0L8 8") + "</defs></svg>\n";
}

std::string anchor(size_t number) { return "s" + std::to_string(number + 1); }

}  // namespace

std::string page_of(const std::string& title, const std::string& lead, const std::vector<PageSection>& sections) {
  std::string out = message(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n<title>",
      escaped(title), "</title>\n<style>", style, "</style></head>\n<body>\n", patterns(),
      "<a class=\"skip\" href=\"#content\">To the content</a>\n<header><h1>", escaped(title),
      "</h1></header>\n<main id=\"content\">\n", lead);
  if (sections.size() > 1) {
    out += "<nav aria-label=\"Sections\"><ul>";
    for (size_t i = 0; i < sections.size(); ++i)
      out += message("<li><a href=\"#", anchor(i), "\">", escaped(sections[i].heading), "</a></li>");
    out += "</ul></nav>\n";
  }
  for (size_t i = 0; i < sections.size(); ++i)
    out += message("<section aria-labelledby=\"", anchor(i), "\"><h2 id=\"", anchor(i), "\">",
                   escaped(sections[i].heading), "</h2>\n", sections[i].body, "</section>\n");
  return out +
         "</main>\n<footer><p>Written by Interlock. This file needs no other and no "
         "network.</p></footer>\n</body></html>\n";
}

std::string paragraph(const std::string& text) { return "<p>" + escaped(text) + "</p>\n"; }

std::string list_of(const std::vector<std::string>& sentences) {
  std::string out = "<ul>\n";
  for (const std::string& sentence : sentences) out += "<li>" + escaped(sentence) + "</li>\n";
  return out + "</ul>\n";
}

std::string figures(const std::string& all) { return all.empty() ? "" : "<div class=\"figures\">" + all + "</div>\n"; }

}  // namespace interlock
