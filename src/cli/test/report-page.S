/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the page that report-html.c puts together, each from its symbol on, with a NUL at its end. */
        .section .rodata.report_page, "a", @progbits

        .globl  test_report_page_html
        .hidden test_report_page_html
test_report_page_html:
        .incbin "report.html"
        .byte   0

        .globl  test_report_page_css
        .hidden test_report_page_css
test_report_page_css:
        .incbin "report.css"
        .byte   0

        .globl  test_report_page_js
        .hidden test_report_page_js
test_report_page_js:
        .ascii  "\"use strict\";\n"
        .incbin "report-dom.js"
        .incbin "report-console.js"
        .incbin "report-timeline.js"
        .incbin "report-matrix.js"
        .incbin "report-overview.js"
        .incbin "report-run.js"
        .incbin "report.js"
        .byte   0

        .section .note.GNU-stack, "", @progbits
