/* The world cis:skill/skill@0.1.0 in the form that component tools look for in a module: a custom
 * section. Made from cis-skill.wit by wit-component 0.254 (metadata::encode); a test compares the
 * two. Included by cis_component.h. */
#ifndef CIS_COMPONENT_TYPE_H
#define CIS_COMPONENT_TYPE_H

/* clang-format off */
__asm__(".section \".custom_section.component-type:skill\",\"\",@\n"
        ".ascii \"\\000asm\\015\\000\\001\\000\\000\\031\\026wit-component-encoding\\004\"\n"
        ".ascii \"\\000\\007\\353\\010\\001A\\002\\001A\\015\\001B\\030\\001q\\010\\006d\"\n"
        ".ascii \"enied\\000\\000\\007invalid\\001s\\000\\011too-large\\001w\\000\\005li\"\n"
        ".ascii \"mit\\000\\000\\010not-text\\000\\000\\013unavailable\\000\\000\\007tim\"\n"
        ".ascii \"eout\\000\\000\\006failed\\000\\000\\004\\000\\005error\\003\\000\\000\"\n"
        ".ascii \"\\001r\\004\\003keys\\005values\\006domains\\010categorys\\004\\000\"\n"
        ".ascii \"\\003hit\\003\\000\\002\\001ks\\001j\\001\\004\\001\\001\\001@\\001\"\n"
        ".ascii \"\\003keys\\000\\005\\004\\000\\003get\\001\\006\\001p}\\001k\\007\\001\"\n"
        ".ascii \"j\\001\\010\\001\\001\\001@\\001\\003keys\\000\\011\\004\\000\\011get-\"\n"
        ".ascii \"bytes\\001\\012\\001j\\000\\001\\001\\001@\\002\\003keys\\005values\"\n"
        ".ascii \"\\000\\013\\004\\000\\003set\\001\\014\\001@\\002\\003keys\\005value\"\n"
        ".ascii \"\\007\\000\\013\\004\\000\\011set-bytes\\001\\015\\001@\\001\\003keys\"\n"
        ".ascii \"\\000\\013\\004\\000\\006delete\\001\\016\\001p\\003\\001j\\001\\017\"\n"
        ".ascii \"\\001\\001\\001@\\001\\005querys\\000\\020\\004\\000\\006search\\001\"\n"
        ".ascii \"\\021\\003\\000\\026cis:skill/memory@0.1.0\\005\\000\\001B\\005\\001q\"\n"
        ".ascii \"\\010\\006denied\\000\\000\\007invalid\\001s\\000\\011too-large\\001w\"\n"
        ".ascii \"\\000\\005limit\\000\\000\\010not-text\\000\\000\\013unavailable\\000\"\n"
        ".ascii \"\\000\\007timeout\\000\\000\\006failed\\000\\000\\004\\000\\005error\"\n"
        ".ascii \"\\003\\000\\000\\001j\\001s\\001\\001\\001@\\001\\006prompts\\000\\002\"\n"
        ".ascii \"\\004\\000\\004chat\\001\\003\\003\\000\\022cis:skill/ai@0.1.0\\005\"\n"
        ".ascii \"\\001\\001B\\016\\001q\\010\\006denied\\000\\000\\007invalid\\001s\"\n"
        ".ascii \"\\000\\011too-large\\001w\\000\\005limit\\000\\000\\010not-text\\000\"\n"
        ".ascii \"\\000\\013unavailable\\000\\000\\007timeout\\000\\000\\006failed\\000\"\n"
        ".ascii \"\\000\\004\\000\\005error\\003\\000\\000\\001p}\\001q\\003\\004none\"\n"
        ".ascii \"\\000\\000\\004text\\001s\\000\\005bytes\\001\\002\\000\\004\\000\\004\"\n"
        ".ascii \"body\\003\\000\\003\\001o\\002ss\\001p\\005\\001r\\004\\006methods\"\n"
        ".ascii \"\\003urls\\007headers\\006\\004body\\004\\004\\000\\007request\\003\"\n"
        ".ascii \"\\000\\007\\001r\\003\\006status{\\007headers\\006\\004body\\004\\004\"\n"
        ".ascii \"\\000\\010response\\003\\000\\011\\001j\\001\\012\\001\\001\\001@\\001\"\n"
        ".ascii \"\\007request\\010\\000\\013\\004\\000\\004send\\001\\014\\003\\000\"\n"
        ".ascii \"\\024cis:skill/http@0.1.0\\005\\002\\001B\\004\\001m\\005\\005trace\"\n"
        ".ascii \"\\005debug\\004info\\004warn\\005error\\004\\000\\005level\\003\\000\"\n"
        ".ascii \"\\000\\001@\\002\\005level\\001\\007messages\\001\\000\\004\\000\\003l\"\n"
        ".ascii \"og\\001\\002\\003\\000\\023cis:skill/log@0.1.0\\005\\003\\001B\\011\"\n"
        ".ascii \"\\001q\\010\\006denied\\000\\000\\007invalid\\001s\\000\\011too-large\"\n"
        ".ascii \"\\001w\\000\\005limit\\000\\000\\010not-text\\000\\000\\013unavailable\"\n"
        ".ascii \"\\000\\000\\007timeout\\000\\000\\006failed\\000\\000\\004\\000\\005er\"\n"
        ".ascii \"ror\\003\\000\\000\\001ks\\001j\\001\\002\\001\\001\\001@\\001\\003key\"\n"
        ".ascii \"s\\000\\003\\004\\000\\003get\\001\\004\\001j\\000\\001\\001\\001@\"\n"
        ".ascii \"\\002\\003keys\\005values\\000\\005\\004\\000\\003set\\001\\006\\003\"\n"
        ".ascii \"\\000\\026cis:skill/config@0.1.0\\005\\004\\001j\\001s\\001s\\001@\"\n"
        ".ascii \"\\001\\005inputs\\000\\005\\004\\000\\003run\\001\\006\\004\\000\\025c\"\n"
        ".ascii \"is:skill/skill@0.1.0\\004\\000\\013\\013\\001\\000\\005skill\\003\\000\"\n"
        ".ascii \"\\000\\000/\\011producers\\001\\014processed-by\\001\\015wit-component\"\n"
        ".ascii \"\\0070.254.2\"\n"
        ".text\n");
/* clang-format on */

#endif
